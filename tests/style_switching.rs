//! A live session in which style pictures change under way: none that was not looked at before holds the painting up.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use allaprima::{
    device::PaintDevice,
    frame::Frame,
    kernels::Precision,
    live::{Canvas, Desk, DeskSettings, Key, LivePainter, SizeWish},
    media::{Track, TrackPacket},
    models::ModelStore,
    pipeline::{
        Control,
        live::{LiveConfig, LiveParts, run},
    },
    sink::{FrameSink, Screen, SinkError},
    source::{StreamInfo, TestCamera},
    style::{Gallery, StyleChoice},
    stylize::{Colors, FeedForward, FeedForwardSettings},
};
use candle_core::Device;

/// Longer than this between two paintings is a stall (the figure is printed).
const STALL: Duration = Duration::from_millis(400);

/// Presses Right at certain times.
struct Presser {
    started: Instant,
    pressed: u32,
}

impl Screen for Presser {
    fn size(&self) -> (usize, usize) {
        (320, 180)
    }

    fn pump(&mut self) -> Result<Option<Vec<Key>>, SinkError> {
        let due = (self.started.elapsed().as_millis() / 600) as u32;
        let keys = vec![Key::Right; due.saturating_sub(self.pressed) as usize];
        self.pressed = self.pressed.max(due);
        Ok(Some(keys))
    }

    fn show(&mut self, _canvas: &Canvas) -> Result<(), SinkError> {
        Ok(())
    }

    fn full_screen(&mut self, _on: bool) -> bool {
        false
    }
}

/// When each painting came.
type Painted = Arc<Mutex<Vec<Instant>>>;

struct Clock(Painted);

impl FrameSink for Clock {
    fn frame(&mut self, _frame: Frame) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(Instant::now());
        Ok(())
    }

    fn track(&mut self, _packet: TrackPacket) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn changing_between_pictures_does_not_stall() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..5_u32 {
        let image = image::RgbImage::from_fn(600, 500, |x, y| {
            image::Rgb([
                (x * (i + 1) / 3) as u8,
                (y * (5 - i) / 2) as u8,
                (40 * i) as u8,
            ])
        });
        image.save(folder.path().join(format!("{i}.png"))).unwrap();
    }
    let mut gallery = Gallery::new(ModelStore::embedded().unwrap(), Device::Cpu).unwrap();
    let playlist = gallery.add_folder(folder.path()).unwrap();
    let choice = StyleChoice::single(playlist.start);
    let gallery = Arc::new(gallery);
    let settings = FeedForwardSettings {
        style: gallery.mix(&choice).unwrap(),
        match_colors: false,
        paint_bars: false,
        device: PaintDevice::Cpu,
        threads: 2,
        precision: Precision::Auto,
    };
    let stylizer = FeedForward::new(gallery.clone(), settings).unwrap();
    let desk = Desk::new(
        gallery.clone(),
        DeskSettings {
            style: choice,
            strength: 1.0,
            opacity: 1.0,
            colors: Colors::Style,
            saturation: 1.0,
            steady: None,
            size: SizeWish::Fixed((320, 180)),
            mirror: false,
        },
    )
    .unwrap();
    let painted = Painted::default();
    let parts = LiveParts {
        camera: Box::new(TestCamera::new(320, 180, 30.0)),
        painter: LivePainter::new(Box::new(stylizer), desk.wanted(), 30.0, 2),
        desk,
        screen: Some(Box::new(Presser {
            started: Instant::now(),
            pressed: 0,
        })),
        virtual_camera: None,
        microphone: None,
        open_recording: {
            let painted = painted.clone();
            Arc::new(move |_: &Path, _: &StreamInfo, _: Option<&Track>| {
                Ok(Box::new(Clock(painted.clone())) as Box<dyn FrameSink>)
            })
        },
        recording_name: Box::new(|| PathBuf::from("a.mkv")),
        save_screenshot: Arc::new(|_| Ok(PathBuf::from("a.png"))),
        on_stuck: Box::new(|_| {}),
    };
    let config = LiveConfig {
        duration: Some(Duration::from_millis(3200)),
        record: true,
        ..LiveConfig::default()
    };
    run(parts, &config, &Arc::new(Control::default()), &mut |_| {}).unwrap();

    let painted = painted.lock().unwrap();
    let mut gaps: Vec<_> = painted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!(
        "{} paintings, longest gap {} ms",
        painted.len(),
        longest.as_millis()
    );
    // On a machine that is busy with other things every painting takes long.
    let stall = STALL.max(4 * median);
    assert!(
        longest < stall,
        "{longest:?} between two paintings, usually {median:?}"
    );
    let looked_at = playlist
        .filter(|&number| gallery.is_ready(&StyleChoice::single(number)))
        .count();
    assert_eq!(looked_at, 5, "five changes go round all pictures");
}
