use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::media::StreamName;
use crate::peer::Peer;

const SECRET: &[u8; MIN_PLAY_SECRET] = b"0123456789abcdef";

fn stream(path: &str) -> StreamName {
    StreamName::new(path, "").unwrap()
}

fn peer(address: &str) -> Peer {
    Peer::direct(SocketAddr::new(address.parse().unwrap(), 4711))
}

fn publish(app: &str, name: &str) -> Attempt {
    Attempt::to_publish(StreamName::new(app, name).unwrap(), peer("192.0.2.1"), "FMLE/3.0", app, name)
}

fn play(path: &str, query: &str) -> Attempt {
    Attempt::to_play(stream(path), peer("192.0.2.1"), "player", query)
}

fn keys(lines: &[(&str, &str)]) -> PublishKeys {
    let mut keys = PublishKeys::default();
    lines.iter().for_each(|(path, key)| keys.add(path, key).unwrap());
    keys
}

/// A file of its own, gone with it.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, contents: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("rtmpd-access-{}-{name}", std::process::id()));
        std::fs::File::create(&path).unwrap().write_all(contents).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _may_be_gone = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_key_covers_its_path_at_whole_segments() {
    let keys = keys(&[("live", "k")]);
    for (path, answer) in [
        ("live", Ok(())),
        ("live/cam", Ok(())),
        ("live/a/b", Ok(())),
        ("live2", Err(Denial::KeyNotFound)),
        ("liv", Err(Denial::KeyNotFound)),
        ("a/live", Err(Denial::KeyNotFound)),
        ("", Err(Denial::KeyNotFound)),
    ] {
        assert_eq!(keys.check(&stream(path), Some("k")), answer, "{path}");
    }
}

#[test]
fn the_keys_of_the_longest_path_count_and_all_of_them() {
    let keys = keys(&[("", "all"), ("live", "one"), ("/live/", "two"), ("live/cam", "cam")]);
    for (path, right) in [
        ("", &["all"][..]),
        ("other/x", &["all"]),
        ("live", &["one", "two"]),
        ("live/x", &["one", "two"]),
        ("live/camera", &["one", "two"]),
        ("live/cam", &["cam"]),
        ("live/cam/x", &["cam"]),
    ] {
        for given in ["all", "one", "two", "cam"] {
            let expected = if right.contains(&given) { Ok(()) } else { Err(Denial::KeyWrong) };
            assert_eq!(keys.check(&stream(path), Some(given)), expected, "{path} with {given}");
        }
        assert_eq!(keys.check(&stream(path), None), Err(Denial::KeyMissing));
    }
}

#[test]
fn keys_are_compared_whole() {
    let keys = keys(&[("", "secret")]);
    for wrong in ["", "s", "secre", "secrets", "Secret", "secret "] {
        assert_eq!(keys.check(&stream("x"), Some(wrong)), Err(Denial::KeyWrong), "{wrong}");
    }
    assert_eq!(PublishKeys::default().check(&stream("x"), None), Ok(()));
}

#[test]
fn keys_that_no_encoder_could_send_are_not_taken() {
    let mut keys = PublishKeys::default();
    assert_eq!(keys.add("live", ""), Err(KeyError::Empty));
    for torn in ["a b", "a&b", "a/b", "a?b", "a\0", "a\n"] {
        assert_eq!(keys.add("live", torn), Err(KeyError::Character), "{torn:?}");
    }
    assert!(matches!(keys.add("../x", "k"), Err(KeyError::Path(_))));
    assert_eq!(keys.add("live?x", "k"), Err(KeyError::Query));
    assert!(keys.is_empty());
    keys.add("live", "Zm9v+YmFy==").unwrap();
    assert_eq!(keys.check(&stream("live"), publish("live?key=Zm9v+YmFy==", "").parameter("key")), Ok(()));
}

#[test]
fn the_queries_of_app_and_name_are_merged_and_the_names_wins() {
    for (app, name, key) in [
        ("live", "cam", None),
        ("live", "cam?key=x", Some("x")),
        ("live?key=x", "cam", Some("x")),
        ("live?key=app", "cam?key=name", Some("name")),
        ("live?key=x", "cam?token=1", Some("x")),
        ("app?a=1&key=x&b", "", Some("x")),
        ("", "cam?key=a=b", Some("a=b")),
        ("", "cam?key=100%25+1", Some("100%25+1")),
        ("", "cam?key", Some("")),
        ("", "cam?&&", None),
        ("", "cam?monkey=x", None),
    ] {
        assert_eq!(publish(app, name).parameter("key"), key, "{app} {name}");
    }
}

#[test]
fn players_parameters_are_decoded() {
    let attempt = play("live", "token=a%2Fb+c&x&y=%FF&token=2");
    assert_eq!(attempt.parameter("token"), Some("a/b c"));
    assert_eq!(attempt.parameters().count(), 4);
    assert_eq!(attempt.parameter("y"), Some("\u{fffd}"));
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let mut rules = Rules { publish_keys: keys(&[("live", "hush")]), ..Rules::default() };
    rules.play_secret = Some(PlaySecret::new(b"hushhushhushhush").unwrap());
    let config = crate::Config { access: rules.clone(), ..crate::Config::default() };
    let access = Access::new(rules, Callbacks::default()).unwrap();
    let attempt = publish("live?token=hush", "cam?key=hush");
    for text in [format!("{config:?}"), format!("{access:?}"), format!("{attempt:#?}")] {
        assert!(text.contains("live") && !text.contains("hush"), "{text}");
    }
}

#[test]
fn a_file_of_keys_is_read_with_its_comments() {
    let text = "\u{feff}# all of them\n\nALL\r\nlive  ONE\n  live\tTWO  \n # end\n";
    let file = Temporary::new("keys", text.as_bytes());
    let keys = PublishKeys::read(&file.0).unwrap();
    assert_eq!(keys.check(&stream("x"), Some("ALL")), Ok(()));
    assert_eq!(keys.check(&stream("live/x"), Some("ONE")), Ok(()));
    assert_eq!(keys.check(&stream("live/x"), Some("TWO")), Ok(()));
    assert_eq!(keys.check(&stream("live/x"), Some("ALL")), Err(Denial::KeyWrong));
}

#[test]
fn a_bad_file_is_named_with_the_line_and_without_the_key() {
    for (name, contents, place) in [
        ("three", &b"live ONE\nlive HUSH x\n"[..], ", line 2: "),
        ("torn", b"# x\n\nlive HU&SH\n", ", line 3: "),
        ("path", b"../HUSH HUSH", ", line 1: "),
        ("latin", b"live ONE\n\nlive HUSH\xfc\n", ", line 3: "),
        ("empty", b"", "no key"),
        ("comments", b"# HUSH\n", "no key"),
    ] {
        let file = Temporary::new(name, contents);
        let error = PublishKeys::read(&file.0).unwrap_err().to_string();
        assert!(error.contains(file.0.to_str().unwrap()) && error.contains(place), "{error}");
        assert!(!error.contains("HU"), "{error}");
    }
    let rules = Rules { publish_key_files: vec!["/nowhere/keys".into()], ..Rules::default() };
    let error = Access::new(rules, Callbacks::default()).unwrap_err().to_string();
    assert!(error.contains("publish keys in /nowhere/keys: "), "{error}");
}

#[test]
fn a_file_may_be_so_long_and_no_longer() {
    let mut contents = b"KEY\n".to_vec();
    contents.resize(MAX_FILE, b'\n');
    let longest = Temporary::new("longest", &contents);
    assert!(PublishKeys::read(&longest.0).is_ok());
    contents.push(b'\n');
    let longer = Temporary::new("longer", &contents);
    assert!(PublishKeys::read(&longer.0).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn networks_that_are_denied_are_so_even_if_allowed() {
    let networks = |allow: &[&str], deny: &[&str]| Networks {
        allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        deny: deny.iter().map(|network| network.parse().unwrap()).collect(),
    };
    let permit = |networks: &Networks, address: &str| networks.permit(address.parse().unwrap());
    assert!(permit(&networks(&[], &[]), "192.0.2.1"));
    let both = networks(&["10.0.0.0/8", "fd00::/8"], &["10.1.0.0/16"]);
    for (address, expected) in [
        ("10.0.255.255", true),
        ("10.1.0.0", false),
        ("10.1.255.255", false),
        ("10.2.0.0", true),
        ("11.0.0.0", false),
        ("::ffff:10.2.0.0", true),
        ("::ffff:10.1.0.0", false),
        ("fd00::1", true),
        ("2001:db8::1", false),
    ] {
        assert_eq!(permit(&both, address), expected, "{address}");
    }
    let deny = networks(&[], &["10.1.0.0/16"]);
    assert!(permit(&deny, "10.0.0.1") && permit(&deny, "::1") && !permit(&deny, "10.1.2.3"));
}

#[test]
fn a_signature_is_the_one_that_openssl_makes() {
    // printf %s 'live/cam1?expires=2000000000' | openssl dgst -sha256 -hmac 0123456789abcdef
    let expected = "cd28a285f6e76bd9e3b719f51784acd7066ae6270fedb1ccc7e6c2d0b6c7ad0a";
    let secret = PlaySecret::new(SECRET).unwrap();
    let query = secret.sign(&stream("live/cam1"), 2_000_000_000);
    assert_eq!(query, format!("expires=2000000000&signature={expected}"));
    let path = secret.signed_path(&stream("Küche 1/a?b"), 7);
    assert!(path.starts_with("/K%C3%BCche%201/a.flv?expires=7&"), "{path}");
    assert!(secret.signed_path(&stream(""), 7).starts_with("/service/httpflv?expires=7&"));
}

#[test]
fn a_link_plays_its_stream_until_it_expires() {
    let secret = PlaySecret::new(SECRET).unwrap();
    let query = secret.sign(&stream("live/cam"), 1000);
    let check = |now, path: &str, query: &str| secret.check_at(now, &play(path, query));
    assert_eq!(check(0, "live/cam", &query), Ok(()));
    assert_eq!(check(999, "live/cam", &query), Ok(()));
    assert_eq!(check(1000, "live/cam", &query), Err(Denial::Expired));
    assert_eq!(
        check(
            999,
            "live/cam",
            &query.to_uppercase().replace("EXPIRES", "expires").replace("SIGNATURE", "signature")
        ),
        Ok(())
    );
    assert_eq!(check(0, "live/cam", &format!("app=live&{query}&wait=1")), Ok(()));
    assert_eq!(check(0, "live/cam2", &query), Err(Denial::SignatureWrong));
    assert_eq!(check(0, "live", &query), Err(Denial::SignatureWrong));
    assert_eq!(check(0, "live/cam", &query.replace("1000", "1001")), Err(Denial::SignatureWrong));
    // A link that is wrong is never said to have expired.
    assert_eq!(check(2000, "live/cam2", &query), Err(Denial::SignatureWrong));
    let longest = secret.sign(&stream("live/cam"), u64::MAX);
    assert_eq!(check(u64::MAX - 1, "live/cam", &longest), Ok(()));
    assert_eq!(check(u64::MAX, "live/cam", &longest), Err(Denial::Expired));
}

#[test]
fn links_that_are_none_are_wrong_or_unsigned() {
    let secret = PlaySecret::new(SECRET).unwrap();
    let check = |query: &str| secret.check_at(0, &play("live/cam", query));
    let right = secret.sign(&stream("live/cam"), 1000);
    let (_, signature) = right.split_once("signature=").unwrap();
    for missing in ["", "expires=1000", &format!("signature={signature}"), "Expires=1000&Signature=x"] {
        assert_eq!(check(missing), Err(Denial::SignatureMissing), "{missing}");
    }
    for (expires, signature) in [
        ("+1000", signature),
        ("1000 ", signature),
        ("", signature),
        ("-1", signature),
        ("18446744073709551616", signature),
        ("1000", ""),
        ("1000", &signature[1..]),
        ("1000", &signature[2..]),
        ("1000", &format!("{signature}00")),
        ("1000", &signature.replacen(|c: char| c.is_ascii_digit(), "g", 1)),
        ("1000", &"0".repeat(64)),
        ("1000", &"é".repeat(32)),
    ] {
        let query = format!("expires={expires}&signature={signature}");
        // A plus is a space in queries, and neither is a digit.
        assert_eq!(check(&query), Err(Denial::SignatureWrong), "{query}");
    }
}

#[test]
fn secrets_have_a_least_length_and_end_where_their_line_does() {
    assert_eq!(PlaySecret::new(&SECRET[1..]).unwrap_err(), ShortSecret);
    let sign = |secret: &PlaySecret| secret.sign(&stream("x"), 1);
    let expected = sign(&PlaySecret::new(SECRET).unwrap());
    for end in ["", "\n", "\r\n", "\n\n"] {
        let file = Temporary::new("secret", &[SECRET, end.as_bytes()].concat());
        assert_eq!(sign(&PlaySecret::read(&file.0).unwrap()), expected);
    }
    let short = Temporary::new("short", b"hush-hush-hush-\n\n");
    let rules = Rules { play_secret_file: Some(short.0.clone()), ..Rules::default() };
    let error = Access::new(rules, Callbacks::default()).unwrap_err().to_string();
    assert!(error.contains("play secret in") && error.contains("16") && !error.contains("hush"), "{error}");
}

#[test]
fn everything_must_agree_and_the_program_is_asked_last() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let callbacks = Callbacks {
        on_publish: Some(Arc::new(move |attempt| {
            *count.lock().unwrap() += 1;
            assert_ne!(attempt.parameter("panic"), Some("yes"), "asked to");
            if attempt.parameter("ok").is_some() { Ok(()) } else { Err(Denied::new("Not\ntoday.")) }
        })),
        on_play: None,
    };
    let mut rules = Rules { publish_keys: keys(&[("live", "k")]), ..Rules::default() };
    rules.publish_from.deny.push("198.51.100.0/24".parse().unwrap());
    let access = Access::new(rules, callbacks).unwrap();
    let name = "cam?key=k&ok";
    let stranger = Attempt::to_publish(stream("live/cam"), peer("198.51.100.7"), "", "live", name);
    assert_eq!(access.may_publish(&stranger), Err(Denial::Network));
    assert_eq!(access.may_publish(&publish("live", "cam?key=x&ok")), Err(Denial::KeyWrong));
    assert_eq!(*asked.lock().unwrap(), 0);
    assert_eq!(access.may_publish(&publish("live", name)), Ok(()));
    assert_eq!(access.may_publish(&publish("live", "cam?key=k")).unwrap_err().to_string(), "Not today.");
    assert_eq!(access.may_publish(&publish("live", "cam?key=k&panic=yes")), Err(Denial::Panicked));
    assert_eq!(access.may_publish(&publish("live", name)), Ok(()), "after a panic as before");
    assert_eq!(access.may_play(&play("live/cam", "")), Ok(()));
}

#[test]
fn what_clients_are_told_is_short() {
    assert_eq!(Denied::new(&"ü".repeat(MAX_REASON)).to_string().len(), MAX_REASON);
    assert_eq!(Denied::new(&"x".repeat(MAX_REASON + 1)).to_string().len(), MAX_REASON);
    assert_eq!(Denied::new(&format!("x{}", "ü".repeat(MAX_REASON))).to_string().len(), MAX_REASON - 1);
    use Denial::*;
    for denial in
        [Network, KeyMissing, KeyWrong, KeyNotFound, SignatureMissing, SignatureWrong, Expired, Panicked]
    {
        assert!(denial.to_string().len() <= MAX_REASON, "{denial}");
        assert!(!denial.to_string().contains("authmod"));
    }
}

#[test]
fn ipv4_networks_may_be_written_as_ipv6_has_them() {
    let networks = |text: &str| vec![text.parse().unwrap()];
    let denied = Networks { deny: networks("::ffff:192.0.2.0/120"), ..Networks::default() };
    assert!(!denied.permit("192.0.2.1".parse().unwrap()));
    assert!(!denied.permit("::ffff:192.0.2.1".parse().unwrap()));
    assert!(denied.permit("192.0.3.1".parse().unwrap()));
    let allowed = Networks { allow: networks("::ffff:192.0.2.1/128"), ..Networks::default() };
    assert!(allowed.permit("192.0.2.1".parse().unwrap()) && !allowed.permit("192.0.2.2".parse().unwrap()));
}

#[test]
fn the_servers_own_stream_is_let_in_past_everything_and_no_other() {
    let mut rules = Rules { publish_keys: keys(&[("", "for-all")]), ..Rules::default() };
    rules.publish_from.deny.push("0.0.0.0/0".parse().unwrap());
    let callbacks =
        Callbacks { on_publish: Some(Arc::new(|_| Err(Denied::new("No.")))), ..Callbacks::default() };
    let mut access = Access::new(rules, callbacks).unwrap();
    let key = access.admit_own(&stream("live/demo")).unwrap();
    assert_ne!(key, access.admit_own(&stream("live/demo")).unwrap(), "another each time");
    assert_eq!(access.may_publish(&publish("live", &format!("demo?key={key}"))), Ok(()));
    for name in
        [format!("cam1?key={key}"), "demo?key=for-all".into(), "demo".into(), format!("demo?key={key}0")]
    {
        assert_eq!(access.may_publish(&publish("live", &name)), Err(Denial::Network), "{name}");
    }
    assert!(!format!("{access:?}").contains(&key));
}
