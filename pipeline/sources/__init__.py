"""Where frames come from: video files, folders of pictures, made-up scenes."""
