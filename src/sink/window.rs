//! The window, by minifb.
//!
//! minifb has no full screen. On X11 (and so under XWayland) the window manager is asked for it, as any program does;
//! where there is none (a bare X server) the window is laid over the whole screen. Elsewhere it is not possible.

#[cfg(feature = "window")]
mod listener;

use super::{Screen, SinkError};

/// Opens a window for pictures of this size.
///
/// # Errors
/// When there is no display, or the program was built without windows.
pub fn open_window(title: &str, size: (usize, usize)) -> Result<Box<dyn Screen>, SinkError> {
    #[cfg(feature = "window")]
    return Ok(Box::new(with_minifb::Window::open(title, size)?));
    #[cfg(not(feature = "window"))]
    {
        let _ = (title, size);
        Err(SinkError::Failed(
            "this program was built without windows (cargo feature `window`)".into(),
        ))
    }
}

#[cfg(feature = "window")]
mod with_minifb {
    use std::{cell::RefCell, rc::Rc};

    use minifb::{Scale, ScaleMode, WindowOptions};

    use super::{
        Screen, SinkError,
        listener::{Hearing, Listener},
    };
    use crate::live::{Canvas, Key};

    pub(super) struct Window {
        window: minifb::Window,
        hearing: Rc<RefCell<Hearing>>,
        was_active: bool,
        #[cfg(target_os = "linux")]
        x11: Option<super::x11::FullScreen>,
    }

    impl Window {
        pub(super) fn open(
            title: &str,
            (width, height): (usize, usize),
        ) -> Result<Self, SinkError> {
            let options = WindowOptions {
                resize: true,
                scale: Scale::X1,
                scale_mode: ScaleMode::UpperLeft,
                ..WindowOptions::default()
            };
            let mut window =
                minifb::Window::new(title, width, height, options).map_err(|error| {
                    SinkError::Failed(format!("the window system refuses: {error}"))
                })?;
            // The camera gives the pace.
            window.set_target_fps(0);
            #[cfg(target_os = "linux")]
            let x11 = super::x11::FullScreen::of(&window);
            #[cfg(target_os = "linux")]
            let reads_signs = x11.is_some();
            #[cfg(not(target_os = "linux"))]
            let reads_signs = false;
            let hearing = Rc::new(RefCell::new(Hearing::new(reads_signs)));
            window.set_input_callback(Box::new(Listener(hearing.clone())));
            Ok(Self {
                #[cfg(target_os = "linux")]
                x11,
                was_active: window.is_active(),
                window,
                hearing,
            })
        }
    }

    impl Screen for Window {
        fn size(&self) -> (usize, usize) {
            let (width, height) = self.window.get_size();
            (width.max(1), height.max(1))
        }

        fn pump(&mut self) -> Result<Option<Vec<Key>>, SinkError> {
            self.window.update();
            if !self.window.is_open() {
                return Ok(None);
            }
            let mut hearing = self.hearing.borrow_mut();
            let is_active = self.window.is_active();
            if self.was_active != is_active {
                // Keys that are let go while another window is in front are not heard of.
                hearing.let_go();
                self.was_active = is_active;
            }
            Ok(Some(hearing.take()))
        }

        fn show(&mut self, canvas: &Canvas) -> Result<(), SinkError> {
            self.window
                .update_with_buffer(canvas.pixels(), canvas.width(), canvas.height())
                .map_err(|error| SinkError::Failed(format!("the window is lost: {error}")))
        }

        fn full_screen(&mut self, on: bool) -> bool {
            #[cfg(target_os = "linux")]
            if let Some(x11) = &mut self.x11 {
                return x11.set(on).is_some();
            }
            let _ = on;
            false
        }
    }
}

#[cfg(all(feature = "window", target_os = "linux"))]
mod x11 {
    use x11rb::{
        connection::Connection,
        protocol::xproto::{
            ClientMessageEvent, ConfigureWindowAux, ConnectionExt, EventMask, StackMode, Window,
        },
        rust_connection::RustConnection,
    };

    /// A connection of our own to the X server that the window is on.
    pub(super) struct FullScreen {
        connection: RustConnection,
        root: Window,
        window: Window,
        /// Place and size before, where no window manager remembers them.
        before: Option<(i16, i16, u16, u16)>,
    }

    impl FullScreen {
        /// `None` when the window is not on an X server.
        pub(super) fn of(window: &minifb::Window) -> Option<Self> {
            use raw_window_handle::{HasWindowHandle, RawWindowHandle};
            let RawWindowHandle::Xlib(handle) = window.window_handle().ok()?.as_raw() else {
                return None;
            };
            let (connection, screen) = x11rb::connect(None).ok()?;
            let root = connection.setup().roots.get(screen)?.root;
            Some(Self {
                connection,
                root,
                window: u32::try_from(handle.window).ok()?,
                before: None,
            })
        }

        /// `None` when the X server refuses.
        pub(super) fn set(&mut self, on: bool) -> Option<()> {
            if self.is_managed()? {
                self.ask_manager(on)
            } else {
                self.place(on)
            }
        }

        fn atom(&self, name: &str) -> Option<u32> {
            let cookie = self.connection.intern_atom(false, name.as_bytes()).ok()?;
            Some(cookie.reply().ok()?.atom)
        }

        /// Whether a window manager runs that knows of full screens.
        fn is_managed(&self) -> Option<bool> {
            let supported = self.atom("_NET_SUPPORTED")?;
            let wanted = self.atom("_NET_WM_STATE_FULLSCREEN")?;
            let list = self
                .connection
                .get_property(false, self.root, supported, 4u32, 0, 4096)
                .ok()?
                .reply()
                .ok()?;
            Some(
                list.value32()
                    .is_some_and(|mut atoms| atoms.any(|atom| atom == wanted)),
            )
        }

        fn ask_manager(&self, on: bool) -> Option<()> {
            let state = self.atom("_NET_WM_STATE")?;
            let full = self.atom("_NET_WM_STATE_FULLSCREEN")?;
            let data = [u32::from(on), full, 0, 1, 0];
            let event = ClientMessageEvent::new(32, self.window, state, data);
            let mask = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
            self.connection
                .send_event(false, self.root, mask, event)
                .ok()?;
            self.connection.flush().ok()
        }

        fn place(&mut self, on: bool) -> Option<()> {
            let geometry = |window| self.connection.get_geometry(window).ok()?.reply().ok();
            let (x, y, width, height) = if on {
                let now = geometry(self.window)?;
                let screen = geometry(self.root)?;
                // Asked a second time it fills the screen already.
                self.before
                    .get_or_insert((now.x, now.y, now.width, now.height));
                (0, 0, screen.width, screen.height)
            } else {
                self.before.take()?
            };
            let change = ConfigureWindowAux::new()
                .x(i32::from(x))
                .y(i32::from(y))
                .width(u32::from(width))
                .height(u32::from(height))
                .stack_mode(StackMode::ABOVE);
            self.connection
                .configure_window(self.window, &change)
                .ok()?;
            self.connection.flush().ok()
        }
    }
}
