use std::sync::Arc;

use super::LiveStream;
use crate::flv::tag::split_tag;
use crate::flv::variant::Variant;
use crate::stream::cursor::make_prefix;

impl LiveStream {
    /// A whole file of one picture: the newest keyframe behind its headers. `None` if the variant has no video, or no
    /// keyframe is kept.
    pub(crate) fn still(&self, variant: &Variant) -> Option<Vec<u8>> {
        let (prefix, burst) = self.read(|shared| {
            let gop = shared.window.gop(shared.headers.first_video(variant)?)?;
            let burst = shared.window.from(gop).next()?;
            let prefix = make_prefix(burst, true, &shared.headers, variant, &self.budget);
            Some((prefix, Arc::clone(burst)))
        })?;
        let tags = burst.plain(variant);
        let (.., rest) = split_tag(tags)?;
        Some([prefix.plain(variant), &tags[..tags.len() - rest.len()]].concat())
    }
}
