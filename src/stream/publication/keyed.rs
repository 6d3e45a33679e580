/// The video tracks that have had a keyframe: only then can the rest of their frames be decoded.
#[derive(Debug, Default)]
pub(super) struct Keyed([u64; 4]);

impl Keyed {
    pub(super) fn insert(&mut self, track: u8) {
        self.0[usize::from(track / 64)] |= 1 << (track % 64);
    }

    pub(super) fn contains(&self, track: u8) -> bool {
        self.0[usize::from(track / 64)] & (1 << (track % 64)) != 0
    }
}
