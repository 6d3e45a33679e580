//! The binary: flags, signals, and the only exit codes.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lexopt::Arg::{Long, Short, Value};
use rtmpd::access::PlaySecret;
use rtmpd::config::SETTINGS;
use rtmpd::{Config, Server, StreamName};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a shutdown may take; the contract is five seconds, process start and end included.
const SHUTDOWN: Duration = Duration::from_millis(4_500);

const USAGE_ERROR: u8 = 2;

/// What `--demo` publishes.
const DEMO: [&str; 2] = ["live", "demo"];

/// How long a signed link may be used, unless `--expires-in` says so, in seconds.
const LINK_LIFETIME: u64 = 3600;

/// The same at the most: ten years.
const MAX_LINK_LIFETIME: u64 = 10 * 365 * 24 * 3600;

/// Whether `--demo` is among the flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demo {
    Off,
    On,
}

/// What the command line asks for.
enum Request {
    Run(Box<Config>, Demo),
    Print(String),
}

fn main() -> ExitCode {
    have_memory_given_back();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match parse(lexopt::Parser::from_env()) {
        Ok(Request::Run(config, demo)) => match run(*config, demo) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&*error, ExitCode::FAILURE),
        },
        Ok(Request::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => fail(&*error, ExitCode::from(USAGE_ERROR)),
    }
}

/// glibc's allocator keeps what it once gave for large pieces, up to 64 MiB in each of its arenas: what a flood of large
/// frames took would never come back. A fixed threshold ends that, and it is taken from the environment alone, at the
/// start of a program; so this one starts itself again, once. What is set already is left alone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn have_memory_given_back() {
    use std::env;
    use std::os::unix::process::CommandExt as _;

    const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "65536");
    if [THRESHOLD.0, "GLIBC_TUNABLES"].iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let name = arguments.next().unwrap_or_default();
    // Should that fail, it works as it is, too; only memory comes back later.
    let _failed =
        std::process::Command::new(program).arg0(name).args(arguments).env(THRESHOLD.0, THRESHOLD.1).exec();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn have_memory_given_back() {}

fn fail(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("rtmpd: {error}");
    code
}

type Failure = Box<dyn std::error::Error>;

fn parse(mut arguments: lexopt::Parser) -> Result<Request, Failure> {
    let (mut config, mut demo) = (Config::default(), Demo::Off);
    let (mut sign, mut lifetime) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Request::Print(help())),
            Long("version") | Short('V') => {
                return Ok(Request::Print(concat!("rtmpd ", env!("CARGO_PKG_VERSION"), "\n").into()));
            }
            Long("demo") => demo = Demo::On,
            Long("sign") => sign = Some(text(&mut arguments, "sign")?),
            Long("expires-in") => lifetime = Some(link_lifetime(&text(&mut arguments, "expires-in")?)?),
            Long(name) => {
                let name = name.to_owned();
                // An unknown option is named as such before its value is missed.
                if !SETTINGS.iter().any(|setting| setting.name == name) {
                    config.set(&name, "")?;
                }
                let value = text(&mut arguments, &name)?;
                config.set(&name, &value)?;
            }
            Short(letter) => return Err(format!("unknown option -{letter}; see rtmpd --help").into()),
            Value(value) => return Err(format!("unexpected {value:?}; see rtmpd --help").into()),
        }
    }
    match (sign, lifetime) {
        (Some(path), lifetime) => {
            Ok(Request::Print(signed(&path, lifetime.unwrap_or(LINK_LIFETIME), &config)?))
        }
        (None, Some(_)) => Err("--expires-in belongs to --sign; see rtmpd --help".into()),
        (None, None) => {
            config.check()?;
            Ok(Request::Run(Box::new(config), demo))
        }
    }
}

/// The value of an option.
fn text(arguments: &mut lexopt::Parser, name: &str) -> Result<String, Failure> {
    Ok(arguments.value()?.into_string().map_err(|_| format!("--{name} takes UTF-8"))?)
}

fn link_lifetime(value: &str) -> Result<u64, String> {
    let seconds = value.parse().ok().filter(|seconds| (1..=MAX_LINK_LIFETIME).contains(seconds));
    seconds.ok_or_else(|| {
        format!("--expires-in takes a number of seconds from 1 to {MAX_LINK_LIFETIME}, not {value:?}")
    })
}

/// The signed path of a stream, which may be given as the path at which it plays, too.
fn signed(path: &str, lifetime: u64, config: &Config) -> Result<String, Failure> {
    let file = config.access.play_secret_file.as_ref().ok_or("--sign needs --play-secret-file FILE")?;
    let secret = PlaySecret::read(file)?;
    let stream = StreamName::new(path.strip_suffix(".flv").unwrap_or(path), "")
        .map_err(|error| format!("--sign takes the path of a stream: {error}"))?;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + lifetime;
    Ok(secret.signed_path(&stream, expires) + "\n")
}

fn help() -> String {
    let mut help = String::from(
        "rtmpd: live streams in over RTMP, out as HTTP-FLV\n\n\
         Usage: rtmpd [--OPTION VALUE]...\n\n\
         Publish   ffmpeg -re -i video.mp4 -c copy -f flv rtmp://127.0.0.1/live/cam1\n\
         Watch     http://127.0.0.1:8090/resource/httpflv?app=live&stream=cam1\n\
         Play      ffplay http://127.0.0.1:8090/live/cam1.flv\n\
         Try it    rtmpd --demo\n\n\
         Options:\n",
    );
    for setting in SETTINGS {
        let _infallible = write!(help, "  --{} {}\n        {}\n", setting.name, setting.value, setting.help);
    }
    help.push_str(
        "  --demo\n        publish a test card with a clock as live/demo, again and again; the log says where it plays\n  \
           --sign PATH\n        print the path at which the stream PATH plays, signed with the secret of --play-secret-file, and end\n  \
           --expires-in SECONDS\n        how long that link may be used [default: 3600]\n  \
           -h, --help\n        show this\n  -V, --version\n        show the version\n\n\
         Environment:\n  RUST_LOG\n        what to log: error, warn, info, debug, trace, or MODULE=LEVEL,... [default: info]\n",
    );
    help
}

fn run(config: Config, demo: Demo) -> Result<(), Failure> {
    // Before anything is opened; the library then fits its caps on connections to the limit.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("cannot raise the limit on open descriptors: {error}");
    }
    // Before the server starts: a signal that comes while it does must not be lost.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut server = Server::builder().config(config);
    if demo == Demo::On {
        server = server.demo(StreamName::new(DEMO[0], DEMO[1])?);
    }
    let server = server.start()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "rtmp://{}\nhttp://{}", server.rtmp_addr(), server.http_addr())?;
    if let Some(address) = server.rtmps_addr() {
        writeln!(stdout, "rtmps://{address}")?;
    }
    stdout.flush()?;
    let first = signals.forever().next();
    log::info!("shutting down on {}", if first == Some(SIGINT) { "SIGINT" } else { "SIGTERM" });
    std::thread::Builder::new().name("second-signal".into()).spawn(move || {
        if signals.forever().next().is_some() {
            std::process::exit(1);
        }
    })?;
    if let Err(error) = server.shutdown(SHUTDOWN) {
        log::warn!("{error}");
    }
    Ok(())
}
