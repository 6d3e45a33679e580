//! Embeds the web pages in the program.
//!
//! Cargo runs this before it compiles rtmpd. It writes `$OUT_DIR/assets.rs`, the table of all that the
//! HTTP side serves from memory. mpegts.js, the player's engine, belongs to it: npm installs it as
//! package.json and package-lock.json say, in `OUT_DIR`, never in the checkout. Where npm cannot, the
//! build goes on with a warning, and the player page loads the same file from a public CDN instead.
//!
//! In a file, `{{NAME}}` stands for the hash of the asset NAME, so that browsers may keep an asset for
//! ever (when it changes, so does its address), and in a page `<!-- mpegts.js -->` for the script element.
//!
//! What shrinks by it is compressed here, once, for the browsers that take gzip.
//!
//! `RTMPD_NO_NPM=1` builds without npm.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Served under `/static/`, with the placeholders filled in: each stands behind those that it names.
const FILES: [&str; 16] = [
    "icon.svg",
    "site.css",
    "player.css",
    "console.css",
    "keep.js",
    "addresses.js",
    "copy.js",
    "curve.js",
    "loaders.js",
    "playback.js",
    "controls.js",
    "still.js",
    "preview.js",
    "card.js",
    "console.js",
    "player.js",
];

/// Served at a path of their own, likewise.
const PAGES: [(&str, &str); 2] = [("/", "index.html"), ("/resource/httpflv", "player.html")];

/// Compressed copies that save less than a tenth are not kept.
const WORTHWHILE: f64 = 0.9;

/// What is mended in the AV1 of mpegts.js 1.8.2. Each text is there once.
const MENDED: [(&str, &str); 4] = [
    // It looks for the size in keyframes' headers, and misreads them (AV1 5.9.2: showable_frame, ref_order_hint; 5.9.6), so
    // that it fails by chance of the bits, or finds another size. The sequence header has it, and is enough. And it announces
    // the track anew at each keyframe, at which browsers drop the frames that are still in front of it.
    (
        "if(u){var c=this._videoMetadata,h=b.parseOBUs(new Uint8Array(e,t,i),c.extra);if(null==h)return void \
         this._onError(m.default.FORMAT_ERROR,\"Flv: Invalid AV1 VideoData\");console.log(h),\
         c.codecWidth=h.codec_size.width,c.codecHeight=h.codec_size.height,c.presentWidth=h.present_size.width,\
         c.presentHeight=h.present_size.height,c.sarRatio=h.sar_ratio;",
        "if(u&&this._announced!==this._videoMetadata.extra){var c=this._videoMetadata,h=c.extra.sequence_header;\
         this._announced=c.extra,c.codecWidth=c.presentWidth=h.max_frame_width,\
         c.codecHeight=c.presentHeight=h.max_frame_height,c.sarRatio={width:1,height:1};",
    ),
    // It never says which codecs there are, because it asks whether all is known before the size is.
    (
        "f.sarDen=c.sarRatio.height,r.default.v(this.TAG,\"Parsed AV1DecoderConfigurationRecord\"),",
        "f.sarDen=c.sarRatio.height,f.isComplete()&&this._onMediaInfo(f),",
    ),
    // Of the lengths of frame ids, the second has three bits (5.5.1).
    ("D&&(i.readBits(4),i.readBits(4))", "D&&(i.readBits(4),i.readBits(3))"),
    // It logs each unit.
    ("console.log(r),1===r?", "1===r?"),
];

/// How long npm may take before the build goes on without it.
const NPM_TIMEOUT: Duration = Duration::from_secs(120);

/// Quick to give up where there is no network: the build has another way.
const NPM_ARGUMENTS: [&str; 8] = [
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
    "--loglevel=error",
];

fn main() -> Result<()> {
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("static");
    let out = PathBuf::from(variable("OUT_DIR")?);
    announce_inputs(&source);

    let mut assets = Vec::new();
    let engine = add_mpegts(&mut assets, &source, &out)?;
    let files = FILES.map(|name| (format!("/static/{name}"), name));
    for (path, name) in files.into_iter().chain(PAGES.map(|(path, name)| (path.to_owned(), name))) {
        let filled = fill(&fs::read_to_string(source.join(name))?, &path, &engine.script, &assets);
        if filled.contains("{{") {
            return Err(format!("static/{name}: a placeholder names no asset in front of it").into());
        }
        let file = out.join(name);
        fs::write(&file, filled)?;
        assets.push(Asset::new(path, file)?);
    }
    fs::write(out.join("assets.rs"), table(&assets, &engine.source, &out)?)?;
    Ok(())
}

/// Tells Cargo what the result depends on, so that nothing else makes it run this again.
fn announce_inputs(source: &Path) {
    let pages = PAGES.iter().map(|&(_, name)| name);
    let manifests = ["package.json", "package-lock.json"];
    for name in FILES.into_iter().chain(pages).chain(manifests) {
        println!("cargo::rerun-if-changed={}", source.join(name).display());
    }
    println!("cargo::rerun-if-env-changed=RTMPD_NO_NPM");
}

/// Where the pages have the player's engine from.
struct Engine {
    /// The script element; `{root}` in it is the way to the server's root.
    script: String,
    /// Its address, if it is not embedded.
    source: String,
}

/// Adds mpegts.js and its licence to the assets where npm can install it; else it is the CDN's.
fn add_mpegts(assets: &mut Vec<Asset>, source: &Path, out: &Path) -> Result<Engine> {
    let manifest = fs::read_to_string(source.join("package.json"))?;
    let version = json_string(&manifest, "mpegts.js").ok_or("package.json: no mpegts.js")?;
    let integrity = json_string(&manifest, "integrity").ok_or("package.json: no integrity")?;

    match install(source, &out.join("npm"), version) {
        Ok(package) => {
            let licence = out.join("mpegts.js.LICENSE.txt");
            fs::write(&licence, licences(&package)?)?;
            let engine = out.join("mpegts.js");
            fs::write(&engine, mend(&fs::read_to_string(package.join("dist/mpegts.js"))?)?)?;
            assets.push(Asset::new("/static/mpegts.js".into(), engine)?);
            assets.push(Asset::new("/static/mpegts.js.LICENSE.txt".into(), licence)?);
            let script = r#"<script src="{root}static/mpegts.js?v={{mpegts.js}}" defer></script>"#;
            Ok(Engine { script: script.into(), source: String::new() })
        }
        Err(reason) => {
            println!(
                "cargo::warning=mpegts.js is not embedded ({reason}): the player page will load it from \
                 cdn.jsdelivr.net, so viewers need the internet. To try again: touch static/package.json"
            );
            let source = format!("https://cdn.jsdelivr.net/npm/mpegts.js@{version}/dist/mpegts.js");
            let script = format!(
                r#"<script src="{source}" integrity="{integrity}" crossorigin="anonymous" defer></script>"#
            );
            Ok(Engine { script, source })
        }
    }
}

/// The player's engine with its faults mended, and a note that says so.
fn mend(engine: &str) -> Result<String> {
    let mut mended = engine.to_owned();
    for (fault, cure) in MENDED {
        if engine.matches(fault).count() != 1 {
            return Err(format!("mpegts.js: `{fault}` is not there once; is it mended in this version?").into());
        }
        mended = mended.replace(fault, cure);
    }
    Ok(format!(
        "/* mpegts.js, with {} changes by rtmpd: see MENDED in its static/build.rs. */\n{mended}",
        MENDED.len()
    ))
}

/// Returns the directory of the installed package; an error says why there is none.
fn install(source: &Path, directory: &Path, version: &str) -> Result<PathBuf> {
    if env::var_os("RTMPD_NO_NPM").is_some_and(|value| value == "1") {
        return Err("RTMPD_NO_NPM=1".into());
    }
    if !is_installed(directory, version) {
        fs::create_dir_all(directory)?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), directory.join(name))?;
        }
        run_npm(directory)?;
    }
    if !is_installed(directory, version) {
        return Err(format!("npm did not install version {version}").into());
    }
    Ok(directory.join("node_modules/mpegts.js"))
}

/// npm writes this lock file last, so it is there only when everything else is.
fn is_installed(directory: &Path, version: &str) -> bool {
    let lock = directory.join("node_modules/.package-lock.json");
    let lock = fs::read_to_string(lock).unwrap_or_default();
    lock.split_once("\"node_modules/mpegts.js\"")
        .is_some_and(|(_, entry)| json_string(entry, "version") == Some(version))
}

fn run_npm(directory: &Path) -> Result<()> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let log = directory.join("npm.log");
    let mut npm = Command::new(name)
        .args(NPM_ARGUMENTS)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "npm is not installed".to_owned(),
            _ => format!("npm: {error}"),
        })?;
    let deadline = Instant::now() + NPM_TIMEOUT;
    loop {
        match npm.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("npm: {}", first_error(&log, status)).into()),
            None if Instant::now() >= deadline => {
                npm.kill()?;
                npm.wait()?;
                return Err(format!("npm took more than {} s", NPM_TIMEOUT.as_secs()).into());
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What npm complained about first, or its exit status where it said nothing.
fn first_error(log: &Path, status: std::process::ExitStatus) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("npm error "));
    line.map_or_else(|| status.to_string(), str::to_owned)
}

/// The licences that have to go with a copy of mpegts.js: its own, and its bundled dependencies'.
fn licences(package: &Path) -> io::Result<String> {
    let own = fs::read_to_string(package.join("LICENSE"))?;
    let bundled = fs::read_to_string(package.join("dist/mpegts.js.LICENSE.txt"))?;
    Ok(format!("mpegts.js\n\n{own}\n\nBundled with it:\n\n{bundled}"))
}

/// The value of the first `"key": "value"`. Enough for manifests that this project or npm wrote.
fn json_string<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

/// Replaces the placeholders of a file that is served at `path`.
fn fill(text: &str, path: &str, script: &str, assets: &[Asset]) -> String {
    let root = "../".repeat(path.matches('/').count() - 1);
    let text = text.replace("<!-- mpegts.js -->", &script.replace("{root}", &root));
    assets.iter().fold(text, |page, asset| page.replace(&format!("{{{{{}}}}}", asset.name()), &asset.hash))
}

/// The table as Rust source; the HTTP side defines `Asset` and includes it. Compressed copies go to `out`.
fn table(assets: &[Asset], engine: &str, out: &Path) -> Result<String> {
    let mut source = format!(
        "/// Where the pages have their engine from, if not from here.\n\
         const ENGINE: &str = {engine:?};\n\n\
         /// The web pages and what they need, each with the path that it is served at.\n\
         pub(crate) static ASSETS: &[Asset] = &[\n",
    );
    for asset in assets {
        let Asset { path, content_type, hash, file } = asset;
        let compressed = match asset.compress(out)? {
            Some(file) => format!("Some(include_bytes!({:?}))", utf8(&file)?),
            None => "None".to_owned(),
        };
        writeln!(
            source,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, hash: {hash:?}, \
             body: include_bytes!({:?}), gzip: {compressed} }},",
            utf8(file)?
        )?;
    }
    source.push_str("];\n");
    Ok(source)
}

/// One row of the table.
struct Asset {
    path: String,
    content_type: &'static str,
    hash: String,
    file: PathBuf,
}

impl Asset {
    fn new(path: String, file: PathBuf) -> Result<Self> {
        let body = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self { content_type: content_type(&file)?, hash: hash(&body), path, file })
    }

    /// Compresses it into `out`, if that is worth while.
    fn compress(&self, out: &Path) -> Result<Option<PathBuf>> {
        let body = fs::read(&self.file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&body)?;
        let compressed = encoder.finish()?;
        if compressed.len() as f64 > body.len() as f64 * WORTHWHILE {
            return Ok(None);
        }
        let file = out.join(format!("{}.gz", self.hash));
        fs::write(&file, compressed)?;
        Ok(Some(file))
    }

    /// The last part of the path, which pages use as placeholder.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

fn content_type(file: &Path) -> Result<&'static str> {
    Ok(match file.extension().and_then(|extension| extension.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => return Err(format!("{}: no content type is known for it", file.display()).into()),
    })
}

/// 64-bit FNV-1a in hex: it tells versions of an asset apart, it protects nothing.
fn hash(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "the build directory's path is not UTF-8".into())
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error} (Cargo sets it)").into())
}
