#!/bin/sh
# Trains the networks of our own that come with the program, from the network of 26 styles.
#
#     python models/training_photos.py PHOTOS      # photos out of Debian packages
#     models/students.sh PHOTOS
#     python models/convert.py                     # into the manifest
#
# An hour on one core of a processor with AMX. The same photos give the same files on the same kind of processor.
set -eu
cd "$(dirname "$0")/.."
photos=$1
train() {
  name=$1
  shift
  target/release/allaprima train --distil --data "$photos" -o "models/training/$name.safetensors" \
    --entry 2 --detail 8 --refine 9 --batch 2 --threads 1 --seed 1 --overwrite "$@"
  mv "models/training/$name.safetensors" "models/$name.safetensors"
  rm -f "models/training/$name.checkpoint"
}
mkdir -p models/training
train fine --blocks 6 --steps 24000
train swift --blocks 4 --steps 45000
