//! Whether frames come in an order that a player can use.

use super::frames::SESSION;
use super::response::Arrival;

/// What one response, or many of them together, had.
#[derive(Default, Clone, Copy)]
pub struct Counts {
    /// Frames from the first keyframe on.
    pub frames: u64,
    /// Frames that were left out between the first and the last.
    pub missing: u64,
    /// How often frames were left out.
    pub gaps: u64,
    /// How often the first video frame of all, of a session, or after a gap, was no keyframe.
    pub torn: u64,
    /// Frames that came again, or too late.
    pub disordered: u64,
    /// Frames whose time is before that of the frame in front.
    pub backward: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.missing += other.missing;
        self.gaps += other.gaps;
        self.torn += other.torn;
        self.disordered += other.disordered;
        self.backward += other.backward;
    }
}

/// Follows the frames of one response.
pub struct Order {
    last: Option<(u64, u32)>,
    /// Whether the next video frame must be a keyframe.
    needs_keyframe: bool,
    pub counts: Counts,
}

impl Order {
    pub fn new() -> Self {
        Self { last: None, needs_keyframe: true, counts: Counts::default() }
    }

    /// Whether a player has something to show.
    pub fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// Says whether the frame is one that a player shows: audio in front of the first keyframe is not.
    pub fn follow(&mut self, frame: &Arrival) -> bool {
        let counts = &mut self.counts;
        match self.last {
            // Sound may come before its first picture.
            None if !frame.video => return false,
            None => {}
            Some((number, _)) if frame.number <= number => {
                counts.disordered += 1;
                return false;
            }
            Some((number, timestamp)) => {
                // What was under way when a publisher went may be lost; where it went on, a player needs a keyframe.
                let goes_on = frame.number / SESSION == number / SESSION;
                let missing = if goes_on { frame.number - number - 1 } else { 0 };
                counts.missing += missing;
                counts.gaps += u64::from(missing > 0);
                counts.backward += u64::from(frame.timestamp < timestamp);
                self.needs_keyframe |= missing > 0 || !goes_on;
            }
        }
        if frame.video {
            counts.torn += u64::from(self.needs_keyframe && !frame.keyframe);
            self.needs_keyframe = false;
        }
        if self.last.is_none() && !frame.keyframe {
            // Counted; a player waits for the keyframe.
            return false;
        }
        counts.frames += 1;
        self.last = Some((frame.number, frame.timestamp));
        true
    }
}
