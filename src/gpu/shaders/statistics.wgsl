// Instance normalisation of what a convolution has made: scale and shift of each channel, out of the moments of its tiles
// and of the style; what ReLU makes of what is less is the style's. A group takes four channels.

struct Tiles {
  // Of the output and of a tile, in pixels.
  out: vec2<i32>,
  tile: vec2<i32>,
  // Tiles in a row, all of them, quads of a tile.
  row: i32,
  tiles: i32,
  quads: i32,
  // Times four channels as they are stored; how many places of a block are one channel.
  stored: i32,
  places: i32,
  // The first of the layer's scales in the style.
  style: i32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> p: Tiles;
@group(0) @binding(1) var<storage, read> moments: array<vec4<f32>>;
// Of each layer scales, shifts, and what ReLU makes of what is less.
@group(0) @binding(2) var<storage, read> style: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> norm: array<vec4<f32>>;

const THREADS = 128;
var<workgroup> room: array<vec4<f32>, THREADS>;

fn count(tile: i32) -> f32 {
  let begin = vec2<i32>(tile % p.row, tile / p.row) * p.tile;
  let extent = vec2<f32>(min(p.out - begin, p.tile));
  return extent.x * extent.y;
}

fn add_up(thread: i32, own: vec4<f32>) -> vec4<f32> {
  workgroupBarrier();
  room[thread] = own;
  workgroupBarrier();
  for (var half = THREADS / 2; half > 0; half /= 2) {
    if thread < half { room[thread] += room[thread + half]; }
    workgroupBarrier();
  }
  return room[0];
}

@compute @workgroup_size(THREADS)
fn statistics(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let thread = i32(local.x);
  let channel = i32(group.x);
  let share = 1.0 / (f32(p.out.x) * f32(p.out.y) * f32(p.places));
  var sum = vec4<f32>(0.0);
  for (var i = thread; i < p.tiles * p.places; i += THREADS) {
    let tile = i / p.places;
    let at = 2 * (tile * p.quads + i % p.places * p.stored + channel);
    sum += moments[at] * count(tile);
  }
  let mean = add_up(thread, sum) * share;
  sum = vec4<f32>(0.0);
  for (var i = thread; i < p.tiles * p.places; i += THREADS) {
    let tile = i / p.places;
    let at = 2 * (tile * p.quads + i % p.places * p.stored + channel);
    let apart = moments[at] - mean;
    sum += moments[at + 1] + apart * apart * count(tile);
  }
  let variance = add_up(thread, sum) * share;
  if thread == 0 {
    let scale = style[p.style + channel] / sqrt(variance + p.epsilon);
    norm[channel] = scale;
    norm[p.stored + channel] = style[p.style + p.stored + channel] - mean * scale;
    norm[2 * p.stored + channel] = style[p.style + 2 * p.stored + channel];
  }
}
