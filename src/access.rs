//! Who may publish and who may play: networks, then keys or signatures, then what the embedding program says.
//!
//! Ingest and HTTP ask here, once for each attempt. A refusal is logged here, too, so that whoever asks has only to
//! pass it on to the client.

mod attempt;
mod callbacks;
mod denial;
mod digest;
mod file;
mod keys;
mod networks;
mod operator;
mod secret;
mod token;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use log::Level;

pub use self::attempt::Attempt;
pub(crate) use self::callbacks::Callbacks;
pub(crate) use self::denial::Denial;
pub use self::denial::{Denied, MAX_REASON};
pub use self::file::{FileError, MAX_FILE};
pub use self::keys::{KeyError, PublishKeys};
pub use self::networks::Networks;
use self::operator::Guesses;
pub(crate) use self::operator::{Caller, CallerError, Rank};
pub use self::secret::{MIN_PLAY_SECRET, PlaySecret, ShortSecret};
pub use self::token::{ApiToken, MIN_API_TOKEN, TokenError};
use crate::media::StreamName;
use crate::occasional::Occasional;
use crate::watched::Watched;

/// Who may publish and who may play, as far as settings say it. By default anyone may do both.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Rules {
    /// With any key here, every publisher needs one.
    pub publish_keys: PublishKeys,
    /// Files with more of them. Read again when one changes; who publishes already goes on.
    pub publish_key_files: Vec<PathBuf>,
    /// From where streams may be published.
    pub publish_from: Networks,
    /// From where streams may be played.
    pub play_from: Networks,
    /// With a secret, streams play by signed links alone.
    pub play_secret: Option<PlaySecret>,
    /// The file of that secret, which is read at the start and comes before [`play_secret`](Self::play_secret).
    pub play_secret_file: Option<PathBuf>,
    /// What operators show to the API. Without a token, they are those on this machine.
    pub api_token: Option<ApiToken>,
    /// The file of that token, which is read at the start and comes before [`api_token`](Self::api_token).
    pub api_token_file: Option<PathBuf>,
}

impl Rules {
    /// The keys here and in the files.
    fn all_publish_keys(&self) -> Result<PublishKeys, FileError> {
        let mut keys = self.publish_keys.clone();
        for file in &self.publish_key_files {
            keys.extend(PublishKeys::read(file)?);
        }
        Ok(keys)
    }
}

/// What decides.
#[derive(Debug)]
pub(crate) struct Access {
    rules: Rules,
    /// Those of the rules, and those of the files that they name.
    publish_keys: Watched<PublishKeys>,
    callbacks: Callbacks,
    /// What this server itself publishes, with keys that are made anew for each run.
    own: PublishKeys,
    publish_refusals: Refusals,
    play_refusals: Refusals,
    panics: Refusals,
    guesses: Guesses,
}

impl Access {
    /// Reads the files that the rules name.
    pub(crate) fn new(mut rules: Rules, callbacks: Callbacks) -> Result<Self, FileError> {
        let publish_keys = Watched::load(rules.publish_key_files.clone(), || rules.all_publish_keys())?;
        if let Some(file) = rules.play_secret_file.take() {
            rules.play_secret = Some(PlaySecret::read(&file)?);
        }
        if let Some(file) = rules.api_token_file.take() {
            rules.api_token = Some(ApiToken::read(&file)?);
        }
        let [publish_refusals, play_refusals, panics] = Default::default();
        let own = PublishKeys::default();
        let guesses = Guesses::default();
        Ok(Self { rules, publish_keys, callbacks, own, publish_refusals, play_refusals, panics, guesses })
    }

    /// The keys as they are now.
    fn publish_keys(&self) -> Arc<PublishKeys> {
        self.publish_keys.newest(
            Instant::now(),
            || self.rules.all_publish_keys(),
            |read| match read {
                Ok(()) => log::info!("the publish keys have changed and count from now on"),
                Err(error) => {
                    log::error!("the publish keys have changed, and the old ones still count: {error}");
                }
            },
        )
    }

    /// Makes a key with which this stream can be published past rules and callbacks. It is for the server itself, and as
    /// hard to guess as any.
    pub(crate) fn admit_own(&mut self, stream: &StreamName) -> io::Result<String> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.own.add(stream.as_str(), &key).map_err(io::Error::other)?;
        Ok(key)
    }

    /// Whether publishers are asked for a key.
    pub(crate) fn needs_key(&self) -> bool {
        !self.publish_keys().is_empty()
    }

    /// Whether streams play by signed links alone.
    pub(crate) fn needs_link(&self) -> bool {
        self.rules.play_secret.is_some()
    }

    /// Says at the start what most would want to know.
    pub(crate) fn log(&self) {
        let publish_from = &self.rules.publish_from;
        if !self.needs_key() && publish_from.is_everywhere() && self.callbacks.on_publish.is_none() {
            log::info!("anyone may publish; --publish-keys FILE or --publish-key PATH=KEY changes that");
        }
    }

    /// Whether a stream may be published.
    pub(crate) fn may_publish(&self, attempt: &Attempt) -> Result<(), Denial> {
        let rules = &self.rules;
        let key = attempt.parameter("key");
        if !self.own.is_empty() && self.own.check(&attempt.stream, key).is_ok() {
            return Ok(());
        }
        let decision = rules
            .publish_from
            .check(attempt.client.ip())
            .and_then(|()| self.publish_keys().check(&attempt.stream, key))
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

    /// What who asks the API may do.
    pub(crate) fn rank(&self, caller: &Caller<'_>) -> Result<Rank, CallerError> {
        operator::rank(caller, self.rules.api_token.as_ref(), &self.guesses, Instant::now())
    }

    /// Says no to a page of another site, whatever else would be decided.
    pub(crate) fn refuse_origin(&self, attempt: &Attempt) -> Denial {
        self.play_refusals.say(Level::Info, "viewer", attempt, &Denial::Origin);
        Denial::Origin
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
