"""No password of a URL survives, and other text does."""

from __future__ import annotations

import pytest

from vidan.pipeline.masking import mask_url_password


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://admin:pass@10.0.0.5:554/live", "rtsp://admin:***@10.0.0.5:554/live"),
        ("RTSP://admin:pass@cam", "RTSP://admin:***@cam"),
        ("rtsp://admin:p@ss/w0rd@cam/live", "rtsp://admin:***@cam/live"),
        ("rtsp://:pass@cam", "rtsp://:***@cam"),
        ("cannot open 'http://u:pass@cam/': timed out", "cannot open 'http://u:***@cam/': timed out"),
        ("rtsp://cam/user=admin&password=pass&channel=1", "rtsp://cam/user=admin&password=***&channel=1"),
        ("http://cam/video?token=pass", "http://cam/video?token=***"),
        ("rtsp://u:pass@a rtsp://v:pass@b", "rtsp://u:***@a rtsp://v:***@b"),
    ],
)
def test_passwords_of_urls_are_masked(text: str, masked: str) -> None:
    assert mask_url_password(text) == masked


@pytest.mark.parametrize("text", ["rtsp://10.0.0.5:554/live", "C:/videos/a@b.mp4", "12:30", "rtsp://admin@cam", ""])
def test_text_without_a_password_stays(text: str) -> None:
    assert mask_url_password(text) == text
