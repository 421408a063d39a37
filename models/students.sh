#!/bin/sh
# Trains the networks of our own that come with the program, from the network of 26 styles: first what they shall know of
# its planes, then how their paintings shall look.
#
#     python models/training_photos.py PHOTOS      # photos out of Debian packages
#     models/students.sh PHOTOS
#     python models/convert.py                     # into the manifest
#
# Two hours on one core of a processor with AMX, and an hour and a half for what each learns last, on one without. The same photos give
# the same files on the same kind of processor.
set -eu
cd "$(dirname "$0")/.."
photos=$1
train() {
  target/release/allaprima train --distil --data "$photos" --batch 2 --threads 1 --seed 1 --overwrite "$@"
}
student() {
  name=$1
  planes=models/training/$name.planes
  shift
  train -o "$planes.safetensors" --entry 2 --detail 8 --refine 9 "$@"
  looked "$name" "$name" --from "$planes.safetensors" --steps 6000
  rm -f "$planes.safetensors" "$planes".checkpoint "$planes".png
}
# Learns by how its paintings look: models/$1, with the log models/training/$2.
looked() {
  name=$1
  log=models/training/$2
  shift 2
  train -o "$log.safetensors" --crop 144 "$@"
  mv "$log.safetensors" "models/$name.safetensors"
  rm -f "$log".checkpoint "$log".png
}
mkdir -p models/training
student fine --blocks 6 --steps 24000
student swift --blocks 4 --steps 45000
# Both gain from more of it; films are steadied anyhow, so that counts half (the shipped files: on a Zen 4).
looked fine fine.longer --from models/fine.safetensors --steps 12000 --seed 2 --steadiness 40
looked swift swift.longer --from models/swift.safetensors --steps 12000 --seed 2 --steadiness 40
looked swift swift.third --from models/swift.safetensors --steps 8000 --seed 3 --steadiness 40
