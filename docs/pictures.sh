#!/bin/sh
# Makes the pictures of the README again, from the samples. Needs ./x build and the ffmpeg program.
set -eu
cd "$(dirname "$0")/.."
paint=target/release/allaprima
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# One film frame, as it is and in three styles.
for style in starry dusk comic; do
  "$paint" video samples/bunny.mp4 -o "$work/$style.mkv" --lossless --start 1 --duration 0.2 --max-size 640 \
    --style $style --quiet
done
ffmpeg -v error -y -ss 1 -i samples/bunny.mp4 -i "$work/starry.mkv" -i "$work/dusk.mkv" -i "$work/comic.mkv" \
  -frames:v 1 -update 1 -q:v 3 -filter_complex \
  "[0]scale=640:360[a];[a][1]hstack[top];[2][3]hstack[bottom];[top][bottom]vstack" docs/frame.jpg

# All styles on one photo.
"$paint" styles --sheet samples/astronaut.jpg -o docs/styles.jpg --tile 256 --overwrite
