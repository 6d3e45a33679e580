use super::{Codec, HeaderCache, TrackCodec};
use crate::flv::variant::Form;
use crate::media::PacketKind;

impl HeaderCache {
    /// Whether a track goes out in a form, by its codec and its sequence header.
    pub(super) fn goes_out(&self, known: &TrackCodec, form: Form) -> bool {
        goes_out_behind(known, form, self.sequence_header(known.codec.kind(), known.track))
    }

    /// Whether a track goes out to browsers behind this sequence header, if that is otherwise than behind the one before.
    pub(in crate::stream) fn turned_by(&self, kind: PacketKind, track: u8, header: &[u8]) -> Option<bool> {
        let is_it = |known: &&TrackCodec| known.track == track && known.codec.kind() == kind;
        let known = self.codecs.iter().find(is_it)?;
        let goes_out = goes_out_behind(known, Form::Browser, Some(header));
        (self.goes_out(known, Form::Browser) != goes_out).then_some(goes_out)
    }

    /// What is to be said of the first tracks that do not go out in a form: the names of their codecs.
    pub(in crate::stream) fn left_out(&self, form: Form) -> Vec<String> {
        let codecs = [PacketKind::Video, PacketKind::Audio].map(|kind| self.codecs(kind));
        let first = codecs.iter().filter_map(|of_kind| of_kind.first());
        first.filter(|known| !self.goes_out(known, form)).map(|known| self.described(known, form)).collect()
    }

    /// The name of a codec, or of what is made of it here.
    fn described(&self, known: &TrackCodec, form: Form) -> String {
        let is_codec_carried = match known.codec {
            Codec::Audio(codec) => form.carries_audio(codec),
            Codec::Video(codec) => form.carries_video(codec),
        };
        let has_header = self.sequence_header(known.codec.kind(), known.track).is_some();
        let name = known.codec.name();
        match (is_codec_carried, has_header) {
            (false, _) => name,
            (true, true) => format!("{name} with a header like this"),
            (true, false) => format!("{name} without its header"),
        }
    }
}

fn goes_out_behind(known: &TrackCodec, form: Form, header: Option<&[u8]>) -> bool {
    match known.codec {
        Codec::Audio(codec) => form.carries_audio_behind(codec, known.track, header),
        Codec::Video(codec) => form.carries_video_behind(codec, known.track, header),
    }
}
