// One convolution of a feed-forward network, with what stands before and behind it.
//
// A tensor is [row][column][channel], four channels in half precision as two words (in single precision four). A group of
// ACROSS x DOWN threads makes a tile of ACROSS PIXELS x DOWN outputs: pixels that are ACROSS apart belong to one thread, so neighbours read neighbours. It
// copies the patch that the tile sees into the group's memory, four channels at a time, and normalisation, ReLU, the sum of
// a residual block and mirrored borders happen on the way. Each thread keeps PIXELS x QUADS sums of four outputs. They are
// in single precision, as all arithmetic is.
//
// Lines between `#for` and `#end` are repeated for each number, before this is compiled: what is indexed by a number that
// the compiler knows can stay in registers. In front stand constants: SIDE and STRIDE of the kernel, ACROSS, DOWN, PIXELS,
// QUADS, ROOM (words of the group's memory), SOURCE (0 a tensor, 1 a picture, 2 blocks of 4 x 4 of its pixels), FOURS (times
// four channels are read), TERMS (how many of four are not zero), and what is to be done.

struct Sizes {
  // Of the input as the convolution sees it, and of the picture.
  size: vec2<i32>,
  picture: vec2<i32>,
  out: vec2<i32>,
  // Times four channels of a pixel of the input, and of the output as it is stored.
  fours: i32,
  stored: i32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> input: array<vec2<u32>>;
// Scales of the input's channels, shifts, and what ReLU makes of what is less.
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
// What is added to the scaled input, and where the sum is kept.
@group(0) @binding(3) var<storage, read> trunk: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> trunk_out: array<vec2<u32>>;
// [QUADS outputs][times four channels][place][quad][channel], then four biases for each quad.
@group(0) @binding(5) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> output: array<vec2<u32>>;
// [tile][quad]: mean, and squares of what deviates from it.
@group(0) @binding(7) var<storage, read_write> moments: array<vec4<f32>>;

const THREADS = ACROSS * DOWN;
const PATCH_WIDTH = (ACROSS * PIXELS - 1) * STRIDE + SIDE;
const PATCH_HEIGHT = (DOWN - 1) * STRIDE + SIDE;

var<workgroup> room: array<vec2<u32>, ROOM>;

fn packed(value: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(value.xy), pack2x16float(value.zw));
}

fn unpacked(words: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn put(at: i32, value: vec4<f32>) {
  room[2 * at] = bitcast<vec2<u32>>(value.xy);
  room[2 * at + 1] = bitcast<vec2<u32>>(value.zw);
}

fn taken(at: i32) -> vec4<f32> {
  return vec4<f32>(bitcast<vec2<f32>>(room[2 * at]), bitcast<vec2<f32>>(room[2 * at + 1]));
}

// Four outputs of a pixel.
fn put_down(at: i32, value: vec4<f32>) {
  if SINGLE_OUT {
    output[2 * at] = bitcast<vec2<u32>>(value.xy);
    output[2 * at + 1] = bitcast<vec2<u32>>(value.zw);
  } else {
    output[at] = packed(value);
  }
}

fn mirrored(at: i32, size: i32) -> i32 {
  let source = abs(at);
  return max(min(source, 2 * size - 2 - source), 0);
}

// A level of a colour, so that it is exact in half precision; the weights make up for it.
fn level(x: i32, y: i32, colour: i32) -> f32 {
  let source = (mirrored(y, sizes.picture.y) * sizes.picture.x + mirrored(x, sizes.picture.x)) * 3 + colour;
  let word = input[source / 8][source / 4 % 2];
  return (f32(word >> u32(source % 4 * 8) & 255u) - 128.0) / 256.0;
}

// Four channels, the `four`th of them, of a pixel of the input.
fn piece(x: i32, y: i32, four: i32, kept: bool) -> vec2<u32> {
  if SOURCE == 1 {
    return packed(vec4<f32>(level(x, y, 0), level(x, y, 1), level(x, y, 2), 0.0));
  }
  if SOURCE == 2 {
    // Channel c of a block of 4 x 4 pixels is colour c % 3 of pixel c / 3.
    var levels: vec4<f32>;
#for k in 0..4
    let channel$k = 4 * four + $k;
    levels[$k] = level(4 * x + channel$k / 3 % 4, 4 * y + channel$k / 12, channel$k % 3);
#end
    return packed(levels);
  }
  let at = (y * sizes.size.x + x) * sizes.fours + four;
  var words: vec2<u32>;
  if SCALED {
    var value: vec4<f32>;
    if SINGLE {
      value = vec4<f32>(bitcast<vec2<f32>>(input[2 * at]), bitcast<vec2<f32>>(input[2 * at + 1]));
    } else {
      value = unpacked(input[at]);
    }
    value = value * norm[four] + norm[sizes.fours + four];
    if RELU { value = max(value, norm[2 * sizes.fours + four]); }
    if ADDED { value += unpacked(trunk[at]); }
    words = packed(value);
  } else {
    words = input[at];
  }
  if KEPT && kept { trunk_out[at] = words; }
  return words;
}

fn border(at: i32, size: i32) -> i32 {
  return select(mirrored(at, size), clamp(at, 0, size - 1), REPEATS);
}

// The sum over the group of what each thread has put at `thread * QUADS + quad`; it lies at `quad` for all to see.
fn add_up(thread: i32) {
  workgroupBarrier();
  let quad = thread % QUADS;
  var sum = vec4<f32>(0.0);
  for (var k = 0; k < QUADS; k++) { sum += taken((thread / QUADS * QUADS + k) * QUADS + quad); }
  workgroupBarrier();
  put(thread, sum);
  workgroupBarrier();
  sum = vec4<f32>(0.0);
  if thread < QUADS {
    for (var k = thread; k < THREADS; k += QUADS) { sum += taken(k); }
  }
  workgroupBarrier();
  if thread < QUADS { put(thread, sum); }
  workgroupBarrier();
}

@compute @workgroup_size(ACROSS, DOWN)
fn convolve(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let column = i32(local.x);
  let row = i32(local.y);
  let thread = row * ACROSS + column;
  let begin = vec2<i32>(group.xy) * vec2<i32>(ACROSS * PIXELS, DOWN);
  let corner = begin * STRIDE - SIDE / 2;
  let first = i32(group.z) * QUADS;
#for p in 0..PIXELS
#for q in 0..QUADS
  var sum$p_$q = vec4<f32>(0.0);
#end
#end
  var w = i32(group.z) * (FOURS * SIDE * SIDE * QUADS * TERMS);
  for (var four = 0; four < FOURS; four++) {
    workgroupBarrier();
    var x = thread % PATCH_WIDTH;
    var y = thread / PATCH_WIDTH;
    for (var i = thread; i < PATCH_WIDTH * PATCH_HEIGHT; i += THREADS) {
      let at = vec2<i32>(x, y) + corner;
      // What the tile itself covers, once.
      let own = all(at >= begin) && all(at < min(begin + vec2<i32>(ACROSS * PIXELS, DOWN), sizes.size)) && group.z == 0;
      room[i] = piece(border(at.x, sizes.size.x), border(at.y, sizes.size.y), four, own);
      x += THREADS % PATCH_WIDTH;
      y += THREADS / PATCH_WIDTH;
      if x >= PATCH_WIDTH { x -= PATCH_WIDTH; y++; }
    }
    workgroupBarrier();
    for (var ky = 0; ky < SIDE; ky++) {
      var source = (row * STRIDE + ky) * PATCH_WIDTH + column * STRIDE;
      for (var kx = 0; kx < SIDE; kx++) {
#for p in 0..PIXELS
        let x$p = unpacked(room[source + $p * ACROSS * STRIDE]);
#end
#for q in 0..QUADS
#for k in 0..TERMS
        let w$q_$k = weights[w + $q * TERMS + $k];
#for p in 0..PIXELS
        sum$p_$q = fma(w$q_$k, vec4<f32>(x$p[$k]), sum$p_$q);
#end
#end
#end
        source++;
        w += QUADS * TERMS;
      }
    }
  }
  if BIASED {
    let biases = i32(groups.z) * (FOURS * SIDE * SIDE * QUADS * TERMS) + first;
#for q in 0..QUADS
    let bias$q = weights[biases + $q];
#for p in 0..PIXELS
    sum$p_$q += bias$q;
    if RELU_OUT { sum$p_$q = max(sum$p_$q, vec4<f32>(0.0)); }
#end
#end
  }
  let at = begin + vec2<i32>(column, row);
  if MOMENTS {
    let extent = vec2<f32>(min(sizes.out - begin, vec2<i32>(ACROSS * PIXELS, DOWN)));
    let share = 1.0 / (extent.x * extent.y);
    let exists = at.y < sizes.out.y;
#for p in 0..PIXELS
    let has$p = exists && at.x + $p * ACROSS < sizes.out.x;
#end
    workgroupBarrier();
#for q in 0..QUADS
    var total$q = vec4<f32>(0.0);
#for p in 0..PIXELS
    if has$p { total$q += sum$p_$q; }
#end
    put(thread * QUADS + $q, total$q);
#end
    add_up(thread);
#for q in 0..QUADS
    let mean$q = taken($q) * share;
#end
    workgroupBarrier();
#for q in 0..QUADS
    var squares$q = vec4<f32>(0.0);
#for p in 0..PIXELS
    if has$p { squares$q += (sum$p_$q - mean$q) * (sum$p_$q - mean$q); }
#end
    put(thread * QUADS + $q, squares$q);
#end
    add_up(thread);
    let tile = i32((group.y * groups.x + group.x) * groups.z) * QUADS + first;
#for q in 0..QUADS
    if thread == $q {
      moments[2 * (tile + $q)] = mean$q;
      moments[2 * (tile + $q) + 1] = taken($q);
    }
#end
  }
  if at.y >= sizes.out.y { return; }
#for p in 0..PIXELS
  if at.x + $p * ACROSS < sizes.out.x {
#for q in 0..QUADS
    if SHUFFLED {
      // Outputs of the four pixels of a block, one after the other.
      let place = (first + $q) / sizes.stored;
      if place < 4 {
        let to = (2 * at.y + place / 2) * 2 * sizes.out.x + 2 * (at.x + $p * ACROSS) + place % 2;
        put_down(to * sizes.stored + (first + $q) % sizes.stored, sum$p_$q);
      }
    } else if first + $q < sizes.stored {
      put_down((at.y * sizes.out.x + at.x + $p * ACROSS) * sizes.stored + first + $q, sum$p_$q);
    }
#end
  }
#end
}
