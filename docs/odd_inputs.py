#!/usr/bin/env python3
"""Paints odd and broken inputs with the built program and writes what happened to each as a table.

    docs/odd_inputs.py > docs/odd-inputs.md     (after ./x build; needs the ffmpeg program)

Fails when a run panics, hangs, or leaves an output that looks complete although it failed.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/allaprima"
BUNNY = ROOT / "samples/bunny.mp4"


def ffmpeg(*args: str) -> None:
    """Runs ffmpeg on words; each argument may hold several."""
    words = [word for arg in args for word in arg.split()]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *words], check=True)


def picture(size: str = "96x64", rate: str = "25", seconds: str = "1") -> str:
    return f"-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds}"


def tone(seconds: str = "1") -> str:
    return f"-f lavfi -i sine=d={seconds}"


def make_inputs(d: Path) -> dict[str, tuple[str, list[str]]]:
    """Makes the inputs in `d`; returns for each row of the table the input's name and further arguments."""
    rows: dict[str, tuple[str, list[str]]] = {}

    def row(what: str, name: str, *extra: str) -> Path:
        rows[what] = (name, list(extra))
        return d / name

    h264 = "-c:v libx264 -pix_fmt yuv420p -preset ultrafast"
    ffmpeg(picture(), h264, str(row("no sound", "silent.mp4")))
    ffmpeg("-display_rotation 90", "-i", str(d / "silent.mp4"), "-c copy", str(row("phone video, lying on its side", "rotated.mp4"))) \
        if rotation_option() else rotate(d / "silent.mp4", row("phone video, lying on its side", "rotated.mp4"))
    ffmpeg(picture(rate="24000/1001"), h264, str(row("23.976 frames a second", "film.mp4")))
    ffmpeg(picture(), "-vf setpts='N*N/25/TB/10' -fps_mode passthrough", h264, str(row("variable frame rate", "vfr.mp4")))
    ffmpeg(picture("50x50"), h264, str(row("50×50 pixels", "small.mp4")))
    ffmpeg(picture("20x20"), h264, str(row("20×20 pixels", "tiny.mp4")))
    ffmpeg("-f lavfi -i testsrc=s=97x65:r=25:d=1 -c:v ffv1", str(row("odd sides into H.264", "odd.mkv")))
    ffmpeg("-f lavfi -i testsrc=s=97x65:r=25:d=1 -c:v ffv1", str(d / "odd2.mkv"))
    rows["odd sides, --lossless"] = ("odd2.mkv", ["--lossless"])
    ffmpeg(picture("3840x2160", "25", "0.2"), h264, str(row("4K, --max-size 640", "uhd.mp4", "--max-size", "640")))
    ffmpeg(picture(), tone(), tone(), tone(), "-map 0 -map 1 -map 2 -map 3 -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu",
           h264, "-c:a aac", str(row("three sound tracks", "tracks.mp4")))
    ffmpeg(picture(), tone(), h264, "-c:a pcm_s16le", str(row("PCM sound into MP4", "pcm.mov")))
    ffmpeg(picture(), tone(), "-c:v libvpx -c:a libvorbis", str(row("VP8 and Vorbis in WebM", "vp8.webm")))
    ffmpeg(picture(), "-vf format=yuv420p10le -c:v libx265 -x265-params log-level=none", str(row("10 bits", "ten.mp4")))
    ffmpeg(picture(), "-vf format=yuv420p10le -c:v libx265 -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
           str(row("HDR (PQ)", "hdr.mp4")))
    ffmpeg(picture(), "-vf interlace -flags +ildct+ilme -c:v mpeg2video", str(row("interlaced MPEG-2", "interlaced.mpg")))
    ffmpeg(picture(), "-vf setsar=64/45 ", h264, str(row("pixels that are not square", "anamorphic.mp4")))
    ffmpeg(picture(), "-vf format=rgba,colorchannelmixer=aa=0.5 -c:v qtrle", str(row("transparency", "alpha.mov")))
    ffmpeg(picture(), "-pix_fmt gray -c:v ffv1", str(row("grey", "grey.mkv")))
    ffmpeg(picture(), "-vf scale=out_range=tv,format=gray -color_range tv -c:v ffv1", str(row("grey of limited range", "limited.mkv")))
    ffmpeg(picture(), str(row("animated GIF", "anim.gif")))
    ffmpeg(picture(), tone(), h264, "-muxdelay 0 -output_ts_offset 3600", str(row("MPEG-TS whose clock starts at an hour", "clock.ts")))
    ffmpeg(picture("96x64"), h264, str(d / "a.ts"))
    ffmpeg(picture("128x80"), h264, str(d / "b.ts"))
    row("picture size changes in mid-stream", "change.ts").write_bytes((d / "a.ts").read_bytes() + (d / "b.ts").read_bytes())
    ffmpeg(picture("64x96"), h264, str(d / "c.ts"))
    row("upright pictures behind wide ones", "upright.ts").write_bytes((d / "a.ts").read_bytes() + (d / "c.ts").read_bytes())
    ffmpeg(picture(rate="1", seconds="8"), "-bf 3", h264.replace("ultrafast", "medium"), str(row("one picture a second, with B-frames", "slow.mkv")))
    ffmpeg(picture(seconds="10"), tone("10"), "-vf select='lt(t,1)+gte(t,9)' -vsync vfr", h264, "-c:a aac",
           str(row("a part of a picture that stays", "still.mp4", "--start", "3", "--duration", "4")))
    ffmpeg("-itsoffset 0.5", picture(), tone(), h264, str(row("sound starts before the picture", "offset.mp4")))
    ffmpeg(picture("96x64", "25", "0.04"), h264, str(row("a single frame", "one.mp4")))
    whole = BUNNY.read_bytes()
    row("MP4 cut off, index in front", "cut.mp4")
    ffmpeg("-i", str(BUNNY), "-c copy -movflags +faststart", str(d / "fast.mp4"))
    (d / "cut.mp4").write_bytes((d / "fast.mp4").read_bytes()[: len(whole) // 3])
    rows["MP4 cut off, index in front"] = ("cut.mp4", ["--max-size", "160"])
    row("MP4 cut off, index lost", "lost.mp4").write_bytes(whole[: len(whole) // 3] if whole.find(b"moov") > len(whole) // 2 else tail_moov(d))
    broken = bytearray((d / "a.ts").read_bytes())
    rng = random.Random(1)
    for _ in range(60):
        broken[rng.randrange(2000, len(broken))] = rng.randrange(256)
    row("bytes broken here and there", "broken.ts").write_bytes(bytes(broken))
    lying = bytearray((d / "silent.mp4").read_bytes())
    at = lying.find(b"mvhd") + 20
    lying[at:at + 4] = (0x7000_0000).to_bytes(4, "big")
    row("a header that promises three weeks", "lying.mp4").write_bytes(bytes(lying))
    row("nothing in the file", "empty.mp4").write_bytes(b"")
    row("text with a film's name", "text.mp4").write_text("no film\n" * 400)
    row("random bytes", "noise.mp4").write_bytes(random.Random(2).randbytes(50_000))
    ffmpeg(tone(), str(row("sound only", "song.mp3")))
    ffmpeg(tone(), "-i", str(ROOT / "samples/coffee.jpg"), "-map 0 -map 1 -c:v copy -disposition:v attached_pic", str(row("sound with a cover picture", "cover.mp3")))
    row("a folder", "folder.mp4").mkdir()
    rows["no such file"] = ("missing.mp4", [])
    rows["--start behind the end"] = ("silent.mp4", ["--start", "9"])
    rows["a name with spaces and quotes"] = ("it's a 'film' ü.mp4", [])
    (d / "it's a 'film' ü.mp4").write_bytes((d / "silent.mp4").read_bytes())
    rows["a picture in place of a video"] = ("coffee.jpg", [])
    (d / "coffee.jpg").write_bytes((ROOT / "samples/coffee.jpg").read_bytes())
    return rows


def rotation_option() -> bool:
    return "-display_rotation" in subprocess.run(["ffmpeg", "-h", "full"], capture_output=True, text=True).stdout


def rotate(source: Path, target: Path) -> None:
    ffmpeg("-i", str(source), "-c copy -metadata:s:v:0 rotate=90", str(target))


def tail_moov(d: Path) -> bytes:
    ffmpeg("-i", str(BUNNY), "-c copy", str(d / "tail.mp4"))
    data = (d / "tail.mp4").read_bytes()
    return data[: len(data) // 2]


def probe(path: Path) -> str:
    out = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-show_entries",
                          "stream=codec_type,codec_name,width,height,nb_read_frames", "-of", "json", str(path)],
                         capture_output=True, text=True)
    streams = json.loads(out.stdout)["streams"]
    video = next(s for s in streams if s["codec_type"] == "video")
    sound = sum(s["codec_type"] == "audio" for s in streams)
    frames = video["nb_read_frames"]
    return f"{frames} frame{'s' if frames != '1' else ''} of {video['width']}×{video['height']}" + (f", {sound} sound" if sound else "")


def main() -> int:
    faults = 0
    print("# What happens to odd and broken inputs\n\nMade by `docs/odd_inputs.py`; sizes are those of the output. Status 0 is a complete output, 1 a clear error and no output.\n")
    print("| input | status | what happened |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        d = Path(folder)
        for what, (name, extra) in make_inputs(d).items():
            out = d / ("out.mkv" if "--lossless" in extra else "out.mp4")
            out.unlink(missing_ok=True)
            before = set(os.listdir(d))
            try:
                run = subprocess.run([PROGRAM, "video", name, "-o", out.name, *extra, "--json"], cwd=d, capture_output=True,
                                     text=True, timeout=120, stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired:
                print(f"| {what} | – | **hangs** |")
                faults += 1
                continue
            notes = [line for line in run.stderr.splitlines() if line.startswith(("note:", "error:"))]
            left = set(os.listdir(d)) - before
            ok = (run.returncode == 0 and left == {out.name}) or (run.returncode == 1 and not left and notes)
            ok = ok and "panic" not in run.stderr and "internal error" not in run.stderr
            faults += not ok
            happened = probe(out) + "; " if run.returncode == 0 and out.exists() else ""
            happened += " ".join(notes).replace("|", "\\|")
            print(f"| {what} | {run.returncode} | {'' if ok else '**wrong** '}{happened.rstrip('; ')} |", flush=True)
    print(f"\n{faults} of these went wrong." if faults else "", file=sys.stderr)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
