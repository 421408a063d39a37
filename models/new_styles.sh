#!/bin/sh
# Trains the styles of five paintings for a shipped network, with the settings that the shipped file was made with.
# Usage: models/new_styles.sh PHOTOS [OUTPUT [NETWORK]]    (photos: see training_photos.py; network: swift, fine or reference)
set -eu
here=$(dirname "$0")
photos=${1:?"name a folder of photos: see models/training_photos.py"}
output=${2:-"$here/van_gogh.safetensors"}
network=${3:-fine}
program=${ALLAPRIMA:-"$here/../target/release/allaprima"}
set -- --data "$photos" --from "$network" -o "$output" --steps "${STEPS:-1000}" --seed 8
for style in \
    cafe-terrace:van_gogh_cafe_terrace_at_night night-cafe:van_gogh_night_cafe auvers:van_gogh_church_at_auvers \
    la-crau:van_gogh_harvest_at_la_crau tanguy:van_gogh_pere_tanguy
do
    set -- "$@" --style "$here/../samples/paintings/${style#*:}.jpg" --name "${style%%:*}"
done
exec "$program" train "$@" --overwrite
