//! One filter graph with one entrance and one exit, built from a string in FFmpeg's filter language.
//!
//! Time stamps inside a graph are plain frame numbers in a time base of one: filters that double the time base (the
//! deinterlacer) or delay frames cannot round anything, and the real time stamp is looked up again at the exit.

use ffmpeg_next::{Error, error::EAGAIN, ffi, filter, frame};

/// A running graph.
pub(crate) struct Graph {
    graph: filter::Graph,
    ended: bool,
}

impl Graph {
    /// Builds a graph for pictures of this size and pixel format (FFmpeg's number).
    ///
    /// # Errors
    /// FFmpeg's, when the string names a filter that is missing or that does not take these pictures.
    pub(crate) fn new(
        width: u32,
        height: u32,
        pixel_format: i32,
        filters: &str,
        threads: usize,
    ) -> Result<Self, Error> {
        let mut graph = filter::Graph::new();
        // SAFETY: the graph is live and not configured yet, which is when this field may be set.
        unsafe { (*graph.as_mut_ptr()).nb_threads = threads.max(1) as i32 };
        let source = filter::find("buffer").ok_or(Error::FilterNotFound)?;
        let sink = filter::find("buffersink").ok_or(Error::FilterNotFound)?;
        graph.add(
            &source,
            "in",
            &format!(
                "video_size={width}x{height}:pix_fmt={pixel_format}:time_base=1/1:pixel_aspect=1/1"
            ),
        )?;
        graph.add(&sink, "out", "")?;
        graph.output("in", 0)?.input("out", 0)?.parse(filters)?;
        graph.validate()?;
        Ok(Self {
            graph,
            ended: false,
        })
    }

    /// Puts a frame in, numbered `number`; the graph takes over its pixels.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn push(&mut self, number: i64, frame: &mut frame::Video) -> Result<(), Error> {
        frame.set_pts(Some(number));
        let mut entrance = self.graph.get("in").ok_or(Error::Bug)?;
        entrance.source().add(frame)
    }

    /// Says that nothing follows: delayed frames come out.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let mut entrance = self.graph.get("in").ok_or(Error::Bug)?;
        entrance.source().flush()
    }

    /// Takes the next finished frame and its number; `None` when the graph needs more, or is empty at its end.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn pull(&mut self) -> Result<Option<(i64, frame::Video)>, Error> {
        let mut exit = self.graph.get("out").ok_or(Error::Bug)?;
        let mut sink = exit.sink();
        let mut frame = frame::Video::empty();
        match sink.frame(&mut frame) {
            Ok(()) => {
                let pts = frame.pts().unwrap_or(0);
                let base = sink.time_base();
                // SAFETY: plain arithmetic on three values.
                let number = unsafe {
                    ffi::av_rescale_q(pts, base.into(), ffi::AVRational { num: 1, den: 1 })
                };
                Ok(Some((number, frame)))
            }
            Err(Error::Eof | Error::Other { errno: EAGAIN }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
