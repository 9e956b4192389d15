/// The time of a decision, read once by the caller.
///
/// Both clocks are needed: HTTP's dates are of the wall clock, which may jump; how long an entry has been
/// here is of the monotonic one, which may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since a moment chosen when the process started; never steps back.
    pub mono_ns: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

impl Now {
    /// The monotonic clock in milliseconds.
    pub fn mono_ms(self) -> u64 {
        self.mono_ns / 1_000_000
    }

    /// Seconds since the Unix epoch.
    pub fn wall_secs(self) -> u64 {
        self.wall_ms / 1_000
    }
}
