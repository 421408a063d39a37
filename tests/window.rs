//! A real window on a virtual X server: keys by xdotool, what is on the screen read back.
//!
//! Screenshots are left in `target/tmp/window-*.png` to be looked at. Without Xvfb and xdotool the test says so and passes.

#![cfg(all(feature = "window", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use x11rb::{
    connection::Connection,
    protocol::xproto::{ClientMessageEvent, ConnectionExt, EventMask, ImageFormat},
    rust_connection::RustConnection,
};

const SCREEN: (usize, usize) = (1280, 800);

/// An X server of our own.
struct Server {
    process: Child,
    display: String,
}

impl Server {
    /// `None` where the programs are missing.
    fn start() -> Option<Self> {
        let there = |name: &str| {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {name}")])
                .output();
            found.is_ok_and(|output| output.status.success())
        };
        if !there("Xvfb") || !there("xdotool") {
            eprintln!("skipped: Xvfb or xdotool is missing (./x test installs them)");
            return None;
        }
        let mut process = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0"])
            .arg(format!("{}x{}x24", SCREEN.0, SCREEN.1))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut number)
            .unwrap();
        let display = format!(":{}", number.trim());
        Some(Self { process, display })
    }

    fn xdotool(&self, args: &[&str]) -> String {
        let output = Command::new("xdotool")
            .args(args)
            .env("DISPLAY", &self.display)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn shot(&self, connection: &RustConnection) -> Shot {
        let root = connection.setup().roots[0].root;
        let (width, height) = (SCREEN.0 as u16, SCREEN.1 as u16);
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, root, 0, 0, width, height, !0)
            .unwrap()
            .reply()
            .unwrap();
        let rgb = image
            .data
            .chunks_exact(4)
            .flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]])
            .collect();
        Shot(rgb)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is on the screen.
struct Shot(Vec<u8>);

impl Shot {
    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let start = (y * SCREEN.0 + x) * 3;
        [self.0[start], self.0[start + 1], self.0[start + 2]]
    }

    /// Mean of all values where the panel with the keys stands.
    fn panel(&self) -> u64 {
        let (columns, rows) = (520..760, 250..550);
        let count = (columns.len() * rows.len() * 3) as u64;
        let sum: u64 = rows
            .flat_map(|y| columns.clone().map(move |x| (x, y)))
            .flat_map(|(x, y)| self.pixel(x, y))
            .map(u64::from)
            .sum();
        sum / count
    }

    fn save(&self, name: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("window-{name}.png"));
        let size = (SCREEN.0 as u32, SCREEN.1 as u32);
        image::save_buffer(path, &self.0, size.0, size.1, image::ColorType::Rgb8).unwrap();
    }
}

struct Running<'a> {
    server: &'a Server,
    connection: RustConnection,
    process: Child,
    window: String,
}

impl<'a> Running<'a> {
    fn start(server: &'a Server, args: &[&str], folder: &Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_allaprima"))
            .args(["live", "--camera", "test", "--json"])
            .args([
                "--camera-size",
                "320x180",
                "--size",
                "160x92",
                "--fps",
                "15",
            ])
            .args(["--duration", "120"])
            .args(args)
            .env("DISPLAY", &server.display)
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("ALLAPRIMA_MODELS")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = x11rb::connect(Some(&server.display)).unwrap();
        let mut running = Self {
            server,
            connection,
            process,
            window: String::new(),
        };
        let end = Instant::now() + Duration::from_secs(20);
        while running.window.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
            let found = server.xdotool(&["search", "--name", "^allaprima$"]);
            running.window = found.lines().next().unwrap_or_default().to_owned();
        }
        assert!(!running.window.is_empty(), "no window came up");
        // Painting has begun.
        running.until("start", |shot| shot.pixel(640, 400) != [0, 0, 0]);
        running
    }

    fn key(&self, key: &str) {
        self.server.xdotool(&["key", key]);
    }

    /// Looks at the screen until it is as it should be.
    fn until(&self, name: &str, good: impl Fn(&Shot) -> bool) -> Shot {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let shot = self.server.shot(&self.connection);
            let is_good = good(&shot);
            if is_good || Instant::now() > end {
                shot.save(name);
                assert!(is_good, "see target/tmp/window-{name}.png");
                return shot;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// As a window manager does when its cross is clicked.
    fn ask_to_close(&self) {
        let atom = |name: &str| {
            let cookie = self.connection.intern_atom(false, name.as_bytes()).unwrap();
            cookie.reply().unwrap().atom
        };
        let data = [atom("WM_DELETE_WINDOW"), 0, 0, 0, 0];
        let window = self.window.parse().unwrap();
        let event = ClientMessageEvent::new(32, window, atom("WM_PROTOCOLS"), data);
        self.connection
            .send_event(false, window, EventMask::NO_EVENT, event)
            .unwrap();
        self.connection.flush().unwrap();
    }

    fn size(&self) -> String {
        let geometry = self.server.xdotool(&["getwindowgeometry", &self.window]);
        geometry
            .lines()
            .find_map(|line| line.trim().strip_prefix("Geometry: "))
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits for the end, which must come soon and be clean.
    fn end(mut self) -> Value {
        let end = Instant::now() + Duration::from_secs(5);
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                self.process.kill().unwrap();
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(20));
        };
        let (mut out, mut err) = (String::new(), String::new());
        self.process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert!(status.success(), "{status}: {err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn keys_views_sizes_and_full_screen() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&server, &[], folder.path());
    assert_eq!(running.size(), "640x360");

    // Frozen, so that nothing else changes what is seen.
    running.key("space");
    thread::sleep(Duration::from_secs(1));
    let bright = running.until("frozen", |shot| shot.panel() > 20).panel();
    running.key("h");
    running.until("help", |shot| shot.panel() * 10 < bright * 6);
    running.key("h");
    running.until("plain", |shot| shot.panel() * 10 > bright * 8);
    running.key("space");

    // The window stands in the middle of the screen: its middle is the screen's.
    running.key("v");
    let white = |shot: &Shot| {
        let middle = |y: usize| shot.pixel(SCREEN.0 / 2, y) == [255; 3];
        (230..570).filter(|&y| middle(y)).count()
    };
    running.until("split", |shot| white(shot) > 300);
    running.key("i");
    running.until("readout", |shot| {
        shot.pixel(322, 222).iter().all(|&v| v < 120)
    });
    running.key("v");
    running.until("together", |shot| white(shot) < 100);

    // A window of another shape gets bars.
    running
        .server
        .xdotool(&["windowsize", &running.window, "400", "500"]);
    running.until("bars", |shot| {
        let (x, top) = (320 + 200, 220);
        // 400x225 in the middle of 400x500.
        shot.pixel(x, top + 100) == [0; 3]
            && shot.pixel(x, top + 400) == [0; 3]
            && shot.pixel(x, top + 250) != [0; 3]
    });
    assert_eq!(running.size(), "400x500");

    running.key("f");
    running.until("full", |shot| {
        // 1280x720 in the middle of 1280x800.
        shot.pixel(5, 20) == [0; 3] && shot.pixel(1270, 400) != [0; 3]
    });
    assert_eq!(running.size(), "1280x800");
    running.key("F11");
    running.until("small", |shot| shot.pixel(1270, 400) == [0; 3]);
    assert_eq!(running.size(), "400x500");

    running.key("p");
    let end = Instant::now() + Duration::from_secs(5);
    let saved = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter_map(|entry| image::open(entry.unwrap().path()).ok())
            .next()
    };
    while saved().is_none() && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    let picture = saved().expect("the screenshot was not saved");
    assert_eq!((picture.width(), picture.height()), (320, 180));

    running.key("q");
    let summary = running.end();
    assert!(summary["shown"].as_u64().unwrap() > 10, "{summary}");
}

#[test]
fn a_screen_that_is_filled_from_the_start_is_left_by_its_keys() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&server, &["--window", "full"], folder.path());
    let sized = |size: &str| {
        running.until("sized", |_| running.size() == size);
    };
    sized("1280x800");
    running.key("f");
    sized("640x360");
    running.key("F11");
    sized("1280x800");
    running.key("Escape");
    sized("640x360");
    running.key("Escape");
    running.end();
}

#[test]
fn the_style_changes_with_its_name() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(&server, &["--style", "0"], folder.path());
    let mean = |shot: &Shot| {
        let mut sum = [0u64; 3];
        for y in 260..480 {
            for x in 340..940 {
                let pixel = shot.pixel(x, y);
                sum.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, value)| *sum += u64::from(value));
            }
        }
        sum.map(|sum| (sum / (220 * 600)) as i64)
    };
    let before = mean(&running.until("style-before", |_| true));
    // Frozen, so that only the style moves.
    running.key("space");
    running.key("Right");
    running.until("style-after", |shot| {
        let now = mean(shot);
        now.iter()
            .zip(before)
            .any(|(now, before)| (now - before).abs() > 6)
    });
    running.key("Escape");
    running.end();
}

#[test]
fn closing_the_window_ends_a_recording_properly() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let args = ["--record", "film.mkv"];
    let running = Running::start(&server, &args, folder.path());
    thread::sleep(Duration::from_secs(2));
    running.ask_to_close();
    let summary = running.end();
    let recorded = summary["recorded"].as_u64().unwrap();
    assert!(recorded > 5, "{summary}");
    assert_eq!(frames_of(&folder.path().join("film.mkv")), recorded);
}

#[test]
fn a_killed_program_leaves_a_whole_recording() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["film.mkv", "film.mp4"] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_allaprima"))
            .args(["live", "--camera", "test", "--window", "off"])
            .args(["--camera-size", "160x96", "--size", "64x40", "--quiet"])
            .args(["--record", name])
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_secs(6));
        process.kill().unwrap();
        process.wait().unwrap();
        let frames = frames_of(&folder.path().join(name));
        assert!(frames > 30, "{name}: {frames} frames");
    }
}

fn frames_of(path: &Path) -> u64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{output:?}"))
}
