//! Who may ask the API for more than anybody may.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ApiToken;
use crate::admission::counted_as;

/// How many wrong tokens an address may send within [`GUESS_WINDOW`].
const MAX_GUESSES: u32 = 5;

/// How long wrong tokens are remembered, from the first one on.
const GUESS_WINDOW: Duration = Duration::from_secs(60);

/// How many addresses with wrong tokens are remembered. Of more, the oldest are forgotten.
const MAX_GUESSERS: usize = 1024;

/// Who asks the API for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) ip: IpAddr,
    /// Whether it is on this machine, for certain, and no page of another site.
    pub(crate) is_local: bool,
    /// The header of this name.
    pub(crate) authorization: Option<&'a str>,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Everything.
    Operator,
    /// See what has no addresses, and change nothing. A token would help, if there is one.
    Guest { has_token: bool },
}

/// Why a caller is refused, whatever it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerError {
    WrongToken,
    /// Its address has sent too many wrong tokens; it may try again after this time.
    TooManyGuesses(Duration),
}

/// Wrong tokens, by address. Nobody is held up by another address's.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Series>>);

#[derive(Debug)]
struct Series {
    began: Instant,
    wrong: u32,
}

/// What a caller may do, of a server with this token or without one.
pub(super) fn rank(
    caller: &Caller<'_>,
    token: Option<&ApiToken>,
    guesses: &Guesses,
    now: Instant,
) -> Result<Rank, CallerError> {
    match (token, caller.authorization.and_then(bearer)) {
        (None, _) if caller.is_local => Ok(Rank::Operator),
        (None, _) => Ok(Rank::Guest { has_token: false }),
        (Some(_), None) => Ok(Rank::Guest { has_token: true }),
        (Some(token), Some(given)) => {
            guesses.check(caller.ip, now, || token.is(given)).map(|()| Rank::Operator)
        }
    }
}

/// The token in an `Authorization` header. Other schemes are other programs' business: that of a proxy, say.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

impl Guesses {
    /// Looks at a token, unless its address has sent too many wrong ones. The lock is held meanwhile, so that many at once
    /// are not more.
    fn check(&self, ip: IpAddr, now: Instant, is_right: impl FnOnce() -> bool) -> Result<(), CallerError> {
        let address = counted_as(ip);
        let mut guessers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |series: &Series| now.saturating_duration_since(series.began);
        guessers.retain(|_, series| age(series) < GUESS_WINDOW);
        let known = guessers.get(&address);
        if let Some(series) = known.filter(|series| series.wrong >= MAX_GUESSES) {
            return Err(CallerError::TooManyGuesses(GUESS_WINDOW - age(series)));
        }
        if is_right() {
            return Ok(());
        }
        if known.is_none() && guessers.len() >= MAX_GUESSERS {
            let oldest = guessers.iter().min_by_key(|(_, series)| series.began).map(|(address, _)| *address);
            oldest.map(|address| guessers.remove(&address));
        }
        guessers.entry(address).or_insert(Series { began: now, wrong: 0 }).wrong += 1;
        Err(CallerError::WrongToken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOKEN: &str = "the-right-token-4711";

    fn ask(guesses: &Guesses, ip: &str, given: &str, now: Instant) -> Result<Rank, CallerError> {
        let (ip, authorization) = (ip.parse().unwrap(), format!("bearer {given}"));
        let caller = Caller { ip, is_local: false, authorization: Some(&authorization) };
        rank(&caller, Some(&ApiToken::new(TOKEN).unwrap()), guesses, now)
    }

    #[test]
    fn the_token_makes_an_operator_and_without_one_the_place_does() {
        let (token, guesses, now) = (ApiToken::new(TOKEN).unwrap(), Guesses::default(), Instant::now());
        let right = format!("Bearer {TOKEN}");
        let ip = "127.0.0.1".parse().unwrap();
        for (is_local, authorization, without, with) in [
            (true, None, Ok(Rank::Operator), Ok(Rank::Guest { has_token: true })),
            (false, None, Ok(Rank::Guest { has_token: false }), Ok(Rank::Guest { has_token: true })),
            (false, Some(&*right), Ok(Rank::Guest { has_token: false }), Ok(Rank::Operator)),
            (true, Some("Bearer wrong"), Ok(Rank::Operator), Err(CallerError::WrongToken)),
            (true, Some("Basic dXNlcg=="), Ok(Rank::Operator), Ok(Rank::Guest { has_token: true })),
            (true, Some(TOKEN), Ok(Rank::Operator), Ok(Rank::Guest { has_token: true })),
        ] {
            let caller = Caller { ip, is_local, authorization };
            assert_eq!(rank(&caller, None, &guesses, now), without, "{caller:?}");
            assert_eq!(rank(&caller, Some(&token), &guesses, now), with, "{caller:?}");
        }
    }

    #[test]
    fn an_address_guesses_five_times_a_minute_and_nobody_else_is_held_up() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        for second in 0..5 {
            assert_eq!(ask(&guesses, "192.0.2.1", "wrong", after(second)), Err(CallerError::WrongToken));
        }
        let wait = |seconds| Err(CallerError::TooManyGuesses(Duration::from_secs(seconds)));
        assert_eq!(ask(&guesses, "192.0.2.1", "wrong", after(5)), wait(55));
        assert_eq!(ask(&guesses, "::ffff:192.0.2.1", TOKEN, after(59)), wait(1), "however it is written");
        assert_eq!(ask(&guesses, "192.0.2.2", TOKEN, after(5)), Ok(Rank::Operator));
        assert_eq!(ask(&guesses, "192.0.2.1", TOKEN, after(60)), Ok(Rank::Operator));
        // One household.
        for last in 1..=5 {
            let address = format!("2001:db8::{last}");
            assert_eq!(ask(&guesses, &address, "wrong", now), Err(CallerError::WrongToken));
        }
        assert_eq!(ask(&guesses, "2001:db8::6", TOKEN, now), wait(60));
        assert_eq!(ask(&guesses, "2001:db8:0:1::6", TOKEN, now), Ok(Rank::Operator));
    }

    #[test]
    fn as_many_addresses_are_remembered_as_there_is_room_for() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        for number in 0..MAX_GUESSERS as u64 + 10 {
            let address = IpAddr::from([10, 0, (number >> 8) as u8, number as u8]).to_string();
            assert_eq!(ask(&guesses, &address, "wrong", after(number)), Err(CallerError::WrongToken));
        }
        let guessers = guesses.0.lock().unwrap();
        assert_eq!(guessers.len(), MAX_GUESSERS);
        assert!(!guessers.contains_key(&"10.0.0.9".parse().unwrap()), "the oldest are forgotten");
        assert!(guessers.contains_key(&"10.0.0.10".parse().unwrap()));
    }

    #[test]
    fn tokens_are_long_and_fit_into_a_header() {
        use super::super::TokenError::{Character, Short};
        assert!(ApiToken::new(&"x".repeat(super::super::MIN_API_TOKEN)).is_ok());
        assert_eq!(ApiToken::new(&"x".repeat(super::super::MIN_API_TOKEN - 1)).err(), Some(Short));
        assert_eq!(ApiToken::new("0123456789 abcdef").err(), Some(Character));
        assert_eq!(ApiToken::new("0123456789äbcdef").err(), Some(Character));
        assert_eq!(format!("{:?}", ApiToken::new(TOKEN).unwrap()), "ApiToken(…)");
    }
}
