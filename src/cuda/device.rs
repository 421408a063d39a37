//! A card of the machine, through NVIDIA's driver, which is loaded when it is first asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig,
        result, sys,
    },
    nvrtc::Ptx,
};

use super::{
    Card, CardError, Launch,
    copies::{Down, Fetched, Up},
    network::CONVOLUTIONS,
    parameters::Peak,
};

/// The kernels for compute capability 8.0 and what comes after it, made by `build.rs`; the driver finishes them.
const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// The same, finished, by compute capability; empty where the compiler did not know the card.
const FINISHED: [((i32, i32), &[u8]); 5] = [
    (
        (8, 0),
        include_bytes!(concat!(env!("OUT_DIR"), "/kernels_80.cubin")),
    ),
    (
        (8, 6),
        include_bytes!(concat!(env!("OUT_DIR"), "/kernels_86.cubin")),
    ),
    (
        (8, 9),
        include_bytes!(concat!(env!("OUT_DIR"), "/kernels_89.cubin")),
    ),
    (
        (9, 0),
        include_bytes!(concat!(env!("OUT_DIR"), "/kernels_90.cubin")),
    ),
    (
        (12, 0),
        include_bytes!(concat!(env!("OUT_DIR"), "/kernels_120.cubin")),
    ),
];

/// The kernels that [`Launch::kernel`] names.
const NAMES: [&str; 42] = [
    "finish",
    "product_peak",
    "features_4_1",
    "features_4_2",
    "features_32_1",
    "features_32_2",
    "gradient_16_1",
    "gradient_16_2",
    "gradient_64_1",
    "gradient_64_2",
    "pool",
    "unpool",
    "gram",
    "sum_parts",
    "difference",
    "vector_change",
    "vector_sum",
    "canvas_take",
    "canvas_give",
    "canvas_losses",
    "steady_see",
    "steady_start",
    "steady_compare",
    "steady_light",
    "steady_doubt",
    "steady_renew",
    "steady_blend",
    "steady_halve",
    "steady_energies",
    "steady_pay_back",
    "steady_base",
    "steady_carry",
    "steady_finish",
    "flow_shrink",
    "flow_halve",
    "flow_smooth",
    "flow_search",
    "flow_densify",
    "flow_linearise",
    "flow_relax",
    "flow_disagreement",
    "flow_hand_out",
];

/// Bytes of shared memory that a block of the loss network's convolutions may take, which all these cards have.
const SHARED: i32 = 80 << 10;

/// A card with the kernels on it. Kernels run in one stream, in the order in which they were started; copies run beside them
/// and keep that order (see `copies`).
#[derive(Debug)]
pub struct Device {
    stream: Arc<CudaStream>,
    up: Mutex<Up>,
    down: Down,
    functions: HashMap<&'static str, CudaFunction>,
    description: String,
}

/// What an operation of the driver says when it fails.
pub(super) fn refused(what: &'static str) -> impl Fn(DriverError) -> CardError {
    move |error| CardError::Driver {
        what: what.into(),
        why: match error.error_string() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => format!("{error:?}"),
        },
    }
}

impl Device {
    /// The card of this number, with the kernels on it.
    ///
    /// # Errors
    /// When there is no driver or no such card, when it is older than compute capability 8.0, or the driver refuses.
    pub fn open(number: usize) -> Result<Self, CardError> {
        // SAFETY: loading NVIDIA's library runs its initialisers, which is what it is for.
        if !unsafe { sys::is_culib_present() } {
            return Err(CardError::NoDriver);
        }
        result::init().map_err(refused("start"))?;
        let found = CudaContext::device_count()
            .map_err(refused("count the cards"))?
            .max(0) as usize;
        if number >= found {
            return Err(CardError::NoDevice {
                wanted: number,
                found,
            });
        }
        let context = CudaContext::new(number).map_err(refused("open the card"))?;
        let name = context.name().map_err(refused("name the card"))?;
        let (major, minor) = context
            .compute_capability()
            .map_err(refused("describe the card"))?;
        if major < 8 {
            return Err(CardError::TooOld { name, major, minor });
        }
        // SAFETY: one stream does everything but the copies beside it, which have their own events.
        unsafe { context.disable_event_tracking() };
        let memory = context.total_mem().map_err(refused("describe the card"))?;
        let description = format!(
            "{name}, compute capability {major}.{minor}, {:.0} GiB",
            memory as f64 / f64::from(1 << 30)
        );
        // Of the same generation, and no newer than the card. A driver that is too old for it takes the text.
        let finished = FINISHED.iter().rev();
        let mut finished =
            finished.filter(|(of, code)| of.0 == major && of.1 <= minor && !code.is_empty());
        let module = finished
            .next()
            .and_then(|(_, code)| context.load_module(Ptx::from_binary(code.to_vec())).ok())
            .map_or_else(|| context.load_module(Ptx::from_src(KERNELS)), Ok)
            .map_err(refused("take the kernels"))?;
        let mut functions = HashMap::new();
        for name in NAMES.into_iter().chain(CONVOLUTIONS) {
            let function = module
                .load_function(name)
                .map_err(refused("find a kernel"))?;
            if name.starts_with("features_") || name.starts_with("gradient_") {
                let shared =
                    sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
                function
                    .set_attribute(shared, SHARED)
                    .map_err(refused("give a kernel shared memory"))?;
            }
            functions.insert(name, function);
        }
        let stream = || context.new_stream().map_err(refused("make a stream"));
        Ok(Self {
            stream: stream()?,
            up: Mutex::new(Up::new(stream()?)),
            down: Down::new(stream()?),
            functions,
            description,
        })
    }

    /// Name, compute capability and memory.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Bytes of the card that are taken, by whomever.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn memory_used(&self) -> Result<usize, CardError> {
        let (free, total) = self
            .stream
            .context()
            .mem_get_info()
            .map_err(refused("count memory"))?;
        Ok(total - free)
    }

    /// Milliseconds on the card of each of `repeats` runs of all `launches`.
    ///
    /// # Safety
    /// As [`Card::launch`].
    ///
    /// # Errors
    /// When the driver refuses.
    pub unsafe fn time(&self, launches: &[Launch], repeats: usize) -> Result<Vec<f32>, CardError> {
        let mark = || {
            self.stream
                .record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))
                .map_err(refused("record an event"))
        };
        let mut marks = vec![mark()?];
        for _ in 0..repeats {
            for launch in launches {
                // SAFETY: as the caller says.
                unsafe { self.launch(launch) }?;
            }
            marks.push(mark()?);
        }
        self.stream.synchronize().map_err(refused("run a kernel"))?;
        marks
            .windows(2)
            .map(|two| two[0].elapsed_ms(&two[1]).map_err(refused("read the time")))
            .collect()
    }

    /// Bytes per second, read and written together, of the driver's own copy between two places of the card.
    ///
    /// # Errors
    /// When the card has no room for 2 × 512 MiB, or the driver refuses.
    pub fn copy_rate(&self) -> Result<f64, CardError> {
        const BYTES: usize = 512 << 20;
        let (from, mut to) = (self.alloc(BYTES)?, self.alloc(BYTES)?);
        let mut times = Vec::new();
        for _ in 0..12 {
            let mark = || {
                self.stream
                    .record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))
                    .map_err(refused("record an event"))
            };
            let begin = mark()?;
            self.stream
                .memcpy_dtod(&from, &mut to)
                .map_err(refused("copy"))?;
            let end = mark()?;
            times.push(begin.elapsed_ms(&end).map_err(refused("read the time"))?);
        }
        times.sort_by(f32::total_cmp);
        Ok(2.0 * BYTES as f64 / (f64::from(times[times.len() / 2]) / 1000.0))
    }

    /// Multiply-adds per second of the instruction that the convolutions use, with all its values in registers.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn product_rate(&self) -> Result<f64, CardError> {
        const BLOCKS: u32 = 4096;
        const ROUNDS: i32 = 1024;
        let out = self.alloc(BLOCKS as usize * 256 * 4)?;
        let launch = Launch {
            name: "peak".into(),
            kernel: "product_peak",
            grid: [BLOCKS, 1, 1],
            threads: 256,
            shared: 0,
            parameters: Peak {
                out: self.address_of(&out),
                rounds: ROUNDS,
            }
            .into(),
            multiply_adds: 0,
            bytes: 0,
        };
        // SAFETY: the kernel writes one float per thread.
        let mut times = unsafe { self.time(&[launch], 8) }?;
        times.sort_by(f32::total_cmp);
        // Eight products of 16×16×8 a round and warp.
        let products = f64::from(BLOCKS) * 8.0 * f64::from(ROUNDS) * 8.0 * 2048.0;
        Ok(products / (f64::from(times[4]) / 1000.0))
    }

    fn alloc(&self, bytes: usize) -> Result<CudaSlice<u8>, CardError> {
        // SAFETY: every bit pattern is a byte.
        unsafe { self.stream.alloc::<u8>(bytes.max(16)) }.map_err(|error| CardError::Driver {
            what: format!("give {} MiB of memory", bytes >> 20),
            why: refused("")(error).to_string(),
        })
    }

    fn address_of(&self, memory: &CudaSlice<u8>) -> u64 {
        memory.device_ptr(&self.stream).0
    }
}

impl Card for Arc<Device> {
    type Memory = CudaSlice<u8>;
    type Fetch = Fetched;

    fn reserve(&self, bytes: usize) -> Result<CudaSlice<u8>, CardError> {
        let memory = self.alloc(bytes)?;
        // What is no number in either precision, so that nothing depends on what was there.
        // SAFETY: the memory is as long as it says.
        unsafe {
            result::memset_d8_async(
                self.address_of(&memory),
                0xff,
                memory.len(),
                self.stream.cu_stream(),
            )
        }
        .map_err(refused("fill memory"))?;
        Ok(memory)
    }

    fn address(&self, memory: &CudaSlice<u8>) -> u64 {
        self.address_of(memory)
    }

    fn size(&self, memory: &CudaSlice<u8>) -> usize {
        memory.len()
    }

    fn upload(&self, bytes: &[u8], memory: &mut CudaSlice<u8>) -> Result<(), CardError> {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        up.copy(bytes, &self.stream, memory)
            .map_err(refused("copy to the card"))
    }

    fn fetch(&self, memory: &CudaSlice<u8>, bytes: usize) -> Result<Fetched, CardError> {
        self.down
            .start(memory, &self.stream, bytes)
            .map_err(refused("copy from the card"))
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CardError> {
        // SAFETY: as the caller says.
        unsafe { Device::launch(self, launch) }
    }
}

impl Device {
    /// # Safety
    /// As [`Card::launch`].
    unsafe fn launch(&self, launch: &Launch) -> Result<(), CardError> {
        let function = &self.functions[launch.kernel];
        let config = LaunchConfig {
            grid_dim: launch.grid.into(),
            block_dim: (launch.threads, 1, 1),
            shared_mem_bytes: launch.shared,
        };
        let mut builder = self.stream.launch_builder(function);
        launch.parameters.pass(&mut builder);
        // SAFETY: as the caller says; the kernel takes the one argument that is given.
        unsafe { builder.launch(config) }
            .map(|_| ())
            .map_err(refused("start a kernel"))
    }
}
