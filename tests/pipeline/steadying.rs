//! Films that are steadied: by the pipeline, or by who paints.

use super::*;

/// A film of a picture that moves by a pixel a frame, with a jump in the middle.
struct Film {
    info: StreamInfo,
    next: u64,
    jumped: bool,
}

const FILM: (usize, usize, u64) = (96, 64, 8);

fn textured(frame: u64) -> Picture {
    let (width, height, _) = FILM;
    let mut picture = Picture::black(width, height);
    for (i, value) in picture.rgb_mut().iter_mut().enumerate() {
        let (x, y) = (
            (i / 3 % width) as f32 + frame as f32,
            (i / 3 / width) as f32,
        );
        *value = (180.0 + 60.0 * (0.4 * x).sin() * (0.3 * y + 0.1 * x).cos()) as u8;
    }
    picture
}

impl Film {
    fn new() -> Self {
        Self {
            info: StreamInfo {
                width: FILM.0,
                height: FILM.1,
                time_base: Ratio { num: 1, den: 25 },
                frame_rate: None,
                expected_frames: None,
            },
            next: 0,
            jumped: false,
        }
    }
}

impl FrameSource for Film {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Packet, SourceError> {
        if self.next == FILM.2 {
            return Ok(Packet::End);
        }
        if self.next == FILM.2 / 2 && !std::mem::replace(&mut self.jumped, true) {
            return Ok(Packet::Reset(ResetReason::Discontinuity));
        }
        let index = self.next;
        self.next += 1;
        Ok(Packet::Frame(Frame {
            picture: textured(index),
            pts: index as i64,
            duration: 1,
            source_index: index,
            seq: index,
        }))
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Paints strokes that flicker, and says whether it steadies them.
struct Flickering {
    by_itself: bool,
    /// How far its style is on its way to another.
    change: Option<f32>,
    /// Whether there was a motion, for each frame.
    told: Arc<Mutex<Vec<bool>>>,
    painted: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Stylizer for Flickering {
    fn paint(&mut self, _: &mut Picture) -> Result<(), StylizeError> {
        panic!("a film is painted along its motion")
    }

    fn paint_along(
        &mut self,
        picture: &mut Picture,
        along: &Along,
    ) -> Result<Option<Pending>, StylizeError> {
        let mut painted = self.painted.lock().unwrap();
        let seed = painted.len() as u32;
        let mut own = picture.clone();
        for (i, value) in own.rgb_mut().iter_mut().enumerate() {
            let mixed = (i as u32 + 7919 * seed).wrapping_mul(0x9e37_79b1);
            *value = value.wrapping_add((mixed >> 28) as u8);
        }
        painted.push(own.rgb().to_vec());
        self.told.lock().unwrap().push(along.continues());
        // Only the stage behind sees the painting.
        Ok(Some(Box::new(move |picture: &mut Picture| {
            *picture = own;
            Ok(())
        })))
    }

    fn steady(&mut self, settings: Option<SteadySettings>) -> Result<bool, StylizeError> {
        assert!(settings.is_some());
        Ok(self.by_itself)
    }

    fn change(&self) -> Option<f32> {
        self.change
    }
}

struct Keep(Arc<Mutex<Vec<Vec<u8>>>>);

impl FrameSink for Keep {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(frame.picture.into_rgb());
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
fn who_steadies_by_itself_is_told_the_motion_and_is_not_steadied_again() {
    for by_itself in [true, false] {
        let (told, painted, kept) = (Arc::default(), Arc::default(), Arc::default());
        let stylizer = Flickering {
            by_itself,
            change: None,
            told: Arc::clone(&told),
            painted: Arc::clone(&painted),
        };
        let steadying = Steadying {
            settings: SteadySettings::new(1.0, 1).unwrap(),
            flow: FlowSettings::default(),
            passes: 1,
            left_out: 0,
            finish: Finisher::default(),
            measured: by_itself,
        };
        let report = pipeline::run_steady(
            Film::new(),
            Box::new(stylizer),
            Some(steadying),
            Keep(Arc::clone(&kept)),
            &Control::default(),
        )
        .unwrap();
        let (painted, kept) = (painted.lock().unwrap(), kept.lock().unwrap());
        let told = told.lock().unwrap();
        // Neither the first frame nor the one behind the jump comes from anywhere.
        let expected: Vec<bool> = (0..FILM.2).map(|i| i % (FILM.2 / 2) != 0).collect();
        assert_eq!(*told, expected);
        for ((told, painted), kept) in told.iter().zip(painted.iter()).zip(kept.iter()) {
            assert_eq!(painted == kept, by_itself || !told);
        }
        assert_eq!(report.steadiness.is_some(), by_itself);
    }
}

#[test]
fn a_painting_on_its_way_arrives_without_steadying_too() {
    let (told, painted, kept) = (Arc::default(), Arc::default(), Arc::default());
    let stylizer = Flickering {
        by_itself: true,
        change: None,
        told,
        painted: Arc::clone(&painted),
    };
    let film = Film::new();
    let sink = Keep(Arc::clone(&kept));
    pipeline::run(film, Box::new(stylizer), sink, &Control::default()).unwrap();
    assert_eq!(*painted.lock().unwrap(), *kept.lock().unwrap());
}

#[test]
fn pictures_that_are_left_out_are_not_painted_and_come_in_their_order() {
    for (left_out, passes) in [(0, 1), (1, 1), (3, 2)] {
        let (painted, kept) = (Arc::default(), Arc::default());
        let stylizer = Flickering {
            by_itself: false,
            change: None,
            told: Arc::default(),
            painted: Arc::clone(&painted),
        };
        let steadying = Steadying {
            settings: SteadySettings::new(1.0, 1).unwrap(),
            flow: FlowSettings::default(),
            passes,
            left_out,
            finish: Finisher::default(),
            measured: true,
        };
        let control = Control::default();
        let sink = Keep(Arc::clone(&kept));
        let (film, steadying) = (Film::new(), Some(steadying));
        let report =
            pipeline::run_steady(film, Box::new(stylizer), steadying, sink, &control).unwrap();
        let (painted, kept) = (painted.lock().unwrap(), kept.lock().unwrap());
        assert_eq!((kept.len() as u64, report.frames), (FILM.2, FILM.2));
        assert_eq!(painted.len() as u64 + report.between, FILM.2);
        assert_eq!(control.frames_painted(), FILM.2);
        let most = painted.len() * (left_out + 1);
        assert!(most as u64 >= FILM.2 && (left_out == 0) == (report.between == 0));
        assert!(
            kept.iter()
                .all(|picture| picture.iter().any(|&value| value > 0))
        );
        // A scene begins with its painting as it is.
        assert!(passes > 1 || painted[0] == kept[0]);
        assert!(passes > 1 || painted.contains(&kept[FILM.2 as usize / 2]));
    }
}

#[test]
fn paintings_whose_style_changes_are_held_less_in_every_pass() {
    // Mean difference of what comes out from what was painted.
    let held = |change: Option<f32>, passes: usize| {
        let (painted, kept) = (Arc::default(), Arc::default());
        let stylizer = Flickering {
            by_itself: false,
            change,
            told: Arc::default(),
            painted: Arc::clone(&painted),
        };
        let steadying = Steadying {
            settings: SteadySettings::new(1.0, 1).unwrap(),
            flow: FlowSettings::default(),
            passes,
            left_out: 0,
            finish: Finisher::default(),
            measured: false,
        };
        let sink = Keep(Arc::clone(&kept));
        let steadying = Some(steadying);
        let control = Control::default();
        pipeline::run_steady(Film::new(), Box::new(stylizer), steadying, sink, &control).unwrap();
        let (painted, kept) = (
            painted.lock().unwrap().concat(),
            kept.lock().unwrap().concat(),
        );
        let differences = painted
            .iter()
            .zip(&kept)
            .map(|(a, b)| u64::from(a.abs_diff(*b)));
        differences.sum::<u64>() as f64 / painted.len() as f64
    };
    for passes in [1, 2] {
        let (rests, changes) = (held(None, passes), held(Some(0.5), passes));
        assert!(
            rests > 0.5 && changes < 0.8 * rests,
            "{passes}: {rests} {changes}"
        );
    }
}

/// Counts how often a scene begins.
struct Scenes(Arc<AtomicU64>);

impl Stylizer for Scenes {
    fn paint(&mut self, _: &mut Picture) -> Result<(), StylizeError> {
        Ok(())
    }

    fn reset(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two scenes of four pictures.
struct Shots(Film);

impl FrameSource for Shots {
    fn info(&self) -> &StreamInfo {
        self.0.info()
    }

    fn next(&mut self) -> Result<Packet, SourceError> {
        self.0.jumped = true;
        let second = self.0.next >= FILM.2 / 2;
        let mut packet = self.0.next()?;
        if let Packet::Frame(frame) = &mut packet {
            for (i, rgb) in frame.picture.rgb_mut().chunks_exact_mut(3).enumerate() {
                let left = i % FILM.0 < FILM.0 / 2;
                let (bright, colour) = if second { (!left, 0) } else { (left, 2) };
                rgb.fill(20);
                rgb[colour] = if bright { 230 } else { 60 };
            }
        }
        Ok(packet)
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn who_paints_is_told_of_cuts_without_steadying_too() {
    let count = Arc::new(AtomicU64::new(0));
    let (film, sink) = (Shots(Film::new()), Keep(Arc::default()));
    let painter = Box::new(Scenes(Arc::clone(&count)));
    pipeline::run(film, painter, sink, &Control::default()).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
