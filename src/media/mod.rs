//! What reading and writing video files share.

/// A compressed packet of a track that is not painted: sound or subtitles.
pub struct TrackPacket {
    /// Number of the track, in the order of the source's list of tracks.
    pub track: usize,
    /// The packet, its time stamps in the track's own time base.
    pub packet: ffmpeg_next::Packet,
}

impl std::fmt::Debug for TrackPacket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "TrackPacket({}, pts {:?})",
            self.track,
            self.packet.pts()
        )
    }
}
