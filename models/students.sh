#!/bin/sh
# Trains the networks of our own that come with the program, from the network of 26 styles: first what they shall know of
# its planes, then how their paintings shall look.
#
#     python models/training_photos.py PHOTOS      # photos out of Debian packages
#     models/students.sh PHOTOS
#     python models/convert.py                     # into the manifest
#
# Two hours on one core of a processor with AMX. The same photos give the same files on the same kind of processor.
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
  train -o "models/training/$name.safetensors" --from "$planes.safetensors" --steps 6000 --crop 144
  mv "models/training/$name.safetensors" "models/$name.safetensors"
  rm -f "$planes.safetensors" "$planes".checkpoint "$planes".png "models/training/$name".checkpoint "models/training/$name".png
}
mkdir -p models/training
student fine --blocks 6 --steps 24000
student swift --blocks 4 --steps 45000
