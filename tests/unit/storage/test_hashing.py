from pathlib import Path

import pytest

from momalisa.storage.hashing import crc32c_bytes, crc32c_file, matches_checksum, sha256_bytes, sha256_file


def test_known_values(tmp_path: Path) -> None:
    file = tmp_path / "digits"
    file.write_bytes(b"123456789")
    sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
    assert sha256_bytes(b"123456789") == sha256_file(file) == sha256
    assert crc32c_bytes(b"123456789") == crc32c_file(file) == "4waSgw=="  # the check value 0xE3069283


def test_files_longer_than_a_chunk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    file = tmp_path / "file"
    file.write_bytes(data)
    assert crc32c_file(file) == crc32c_bytes(data)
    assert sha256_file(file) == sha256_bytes(data)


def test_a_listed_checksum_tells_whether_a_file_is_the_object(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"123456789")
    assert matches_checksum(file, "md5:25f9e794323b453885f5181f1b624d0b")
    assert matches_checksum(file, "crc32c:e3069283")
    file.write_bytes(b"123456780")
    assert not matches_checksum(file, "md5:25f9e794323b453885f5181f1b624d0b")
    assert not matches_checksum(file, "crc32c:e3069283")
    with pytest.raises(ValueError, match="neither"):
        matches_checksum(file, "sha1:00")
