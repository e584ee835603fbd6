"""What is counted: lines that are crossed, zones that are entered and left."""
