//! Who may publish and who may play: networks, then keys or signatures, then what the embedding program says.
//!
//! Ingest and HTTP ask here, once for each attempt. A refusal is logged here, too, so that whoever asks has only to
//! pass it on to the client.

mod attempt;
mod callbacks;
mod denial;
mod file;
mod keys;
mod networks;
mod secret;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use log::Level;

pub use self::attempt::Attempt;
pub(crate) use self::callbacks::Callbacks;
pub(crate) use self::denial::Denial;
pub use self::denial::{Denied, MAX_REASON};
pub use self::file::{FileError, MAX_FILE};
pub use self::keys::{KeyError, PublishKeys};
pub use self::networks::Networks;
pub use self::secret::{MIN_PLAY_SECRET, PlaySecret, ShortSecret};
use crate::occasional::Occasional;

/// Who may publish and who may play, as far as settings say it. By default anyone may do both.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Rules {
    /// With any key here, every publisher needs one.
    pub publish_keys: PublishKeys,
    /// Files with more of them, which are read at the start.
    pub publish_key_files: Vec<PathBuf>,
    /// From where streams may be published.
    pub publish_from: Networks,
    /// From where streams may be played.
    pub play_from: Networks,
    /// With a secret, streams play by signed links alone.
    pub play_secret: Option<PlaySecret>,
    /// The file of that secret, which is read at the start and comes before [`play_secret`](Self::play_secret).
    pub play_secret_file: Option<PathBuf>,
}

/// What decides.
#[derive(Debug, Default)]
pub(crate) struct Access {
    rules: Rules,
    callbacks: Callbacks,
    publish_refusals: Refusals,
    play_refusals: Refusals,
    panics: Refusals,
}

impl Access {
    /// Reads the files that the rules name.
    pub(crate) fn new(mut rules: Rules, callbacks: Callbacks) -> Result<Self, FileError> {
        for file in std::mem::take(&mut rules.publish_key_files) {
            rules.publish_keys.extend(PublishKeys::read(&file)?);
        }
        if let Some(file) = rules.play_secret_file.take() {
            rules.play_secret = Some(PlaySecret::read(&file)?);
        }
        Ok(Self { rules, callbacks, ..Self::default() })
    }

    /// Says at the start what most would want to know.
    pub(crate) fn log(&self) {
        let Rules { publish_keys, publish_from, .. } = &self.rules;
        if publish_keys.is_empty() && publish_from.is_everywhere() && self.callbacks.on_publish.is_none() {
            log::info!("anyone may publish; --publish-keys FILE or --publish-key PATH=KEY changes that");
        }
    }

    /// Whether a stream may be published.
    pub(crate) fn may_publish(&self, attempt: &Attempt) -> Result<(), Denial> {
        let rules = &self.rules;
        let decision = rules
            .publish_from
            .check(attempt.client.ip())
            .and_then(|()| rules.publish_keys.check(&attempt.stream, attempt.parameter("key")))
            .and_then(|()| callbacks::ask(self.callbacks.on_publish.as_ref(), attempt));
        decision.inspect_err(|denial| match denial {
            Denial::Panicked => self.panics.say(Level::Error, "publisher", attempt, denial),
            _ => self.publish_refusals.say(Level::Warn, "publisher", attempt, denial),
        })
    }

    /// Whether a stream may be played.
    pub(crate) fn may_play(&self, attempt: &Attempt) -> Result<(), Denial> {
        let rules = &self.rules;
        let decision = rules
            .play_from
            .check(attempt.client.ip())
            .and_then(|()| rules.play_secret.as_ref().map_or(Ok(()), |secret| secret.check(attempt)))
            .and_then(|()| callbacks::ask(self.callbacks.on_play.as_ref(), attempt));
        decision.inspect_err(|denial| match denial {
            Denial::Panicked => self.panics.say(Level::Error, "viewer", attempt, denial),
            _ => self.play_refusals.say(Level::Info, "viewer", attempt, denial),
        })
    }
}

/// The log lines about one kind of refusals, which peers could cause as often as they like.
#[derive(Debug, Default)]
struct Refusals(Mutex<Occasional>);

impl Refusals {
    fn say(&self, level: Level, who: &str, attempt: &Attempt, denial: &Denial) {
        let (peer, stream) = (attempt.peer, &attempt.stream);
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.say(|more| log::log!(level, "{who} {peer} refused for {stream}: {denial}{more}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
