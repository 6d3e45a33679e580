//! `GET /metrics`: totals and streams in the text format of Prometheus (version 0.0.4). Viewers have no series of their
//! own: there may be thousands.

use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use tiny_http::Response;

use super::api::split_name;
use super::front::{Answer, Context, with_header};
use crate::room;
use crate::stream::StreamStatus;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Context {
    /// The answer to a scrape.
    pub(super) fn metrics(&self) -> Answer {
        let answer = Response::from_data(self.metrics_text());
        with_header(with_header(answer, "Content-Type", CONTENT_TYPE), "Cache-Control", "no-store")
    }

    fn metrics_text(&self) -> String {
        let (streams, publishers) = (self.registry.status(), self.registry.totals());
        let viewers = self.delivery.totals();
        let publishing = streams.iter().filter(|stream| stream.publication.is_some()).count();
        let mut text = Text::default();
        text.family("rtmpd_build_info", "gauge", "Always 1; the version is a label.")
            .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("rtmpd_streams", "gauge", "Live streams, held ones among them.").sample(&[], streams.len());
        text.family("rtmpd_clients", "gauge", "Who publishes, watches, or waits for a stream.")
            .sample(&[("type", "publisher")], publishing)
            .sample(&[("type", "viewer")], viewers.watching)
            .sample(&[("type", "waiting")], viewers.waiting);
        text.family("rtmpd_clients_total", "counter", "Who has begun to publish or to watch.")
            .sample(&[], publishers.publications + viewers.joined);
        text.family("rtmpd_receive_bytes_total", "counter", "Bytes of payload received from publishers.")
            .sample(&[], publishers.bytes);
        text.family("rtmpd_send_bytes_total", "counter", "Bytes sent to viewers.").sample(&[], viewers.sent);
        text.family(
            "rtmpd_viewer_skips_total",
            "counter",
            "How often viewers were too far behind and moved on.",
        )
        .sample(&[], viewers.skips);
        per_stream(&mut text, &streams);
        self.process(&mut text);
        text.0
    }

    fn process(&self, text: &mut Text) {
        let uptime = self.identity.started.elapsed();
        let started =
            SystemTime::now().checked_sub(uptime).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        text.family("process_start_time_seconds", "gauge", "When the server was started, in Unix time.")
            .sample(&[], started.map_or(0, |time| time.as_secs()));
        if let Some(bytes) = room::resident_memory() {
            text.family("process_resident_memory_bytes", "gauge", "Resident memory.").sample(&[], bytes);
        }
        text.family("process_open_fds", "gauge", "Open files.").sample(&[], room::open_files());
        text.family("process_max_fds", "gauge", "Open files that there may be.")
            .sample(&[], room::open_files_limit());
    }
}

fn per_stream(text: &mut Text, streams: &[StreamStatus]) {
    let labels = |stream: &StreamStatus| {
        let (app, name) = split_name(&stream.name);
        [("app", app.to_owned()), ("stream", name.to_owned())]
    };
    let mut family = |name, kind, help, value: fn(&StreamStatus) -> u64| {
        let mut family = text.family(name, kind, help);
        for stream in streams {
            let labels = labels(stream);
            family.sample(&[(labels[0].0, &labels[0].1), (labels[1].0, &labels[1].1)], value(stream));
        }
    };
    family("rtmpd_stream_viewers", "gauge", "Who watches a stream.", |stream| stream.viewers.total() as u64);
    family(
        "rtmpd_stream_receive_bytes_total",
        "counter",
        "Bytes of payload received for a stream; from 0 again when one of this name begins.",
        |stream| stream.bytes,
    );
}

#[derive(Default)]
struct Text(String);

/// One metric's samples.
struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { name, text: &mut self.0 }
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) -> &mut Self {
        self.text.push_str(self.name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let opening = if index == 0 { '{' } else { ',' };
            let _infallible = write!(self.text, "{opening}{label}=\"{}\"", escaped(value));
        }
        let _infallible = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
        self
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_below_what_they_are_and_labels_are_escaped() {
        let mut text = Text::default();
        text.family("a_total", "counter", "All of it.").sample(&[], 7_u64);
        text.family("b", "gauge", "Some.").sample(&[("x", "1"), ("y", "a\"b\\c\nd")], 0);
        assert_eq!(
            text.0,
            "# HELP a_total All of it.\n# TYPE a_total counter\na_total 7\n\
             # HELP b Some.\n# TYPE b gauge\nb{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 0\n"
        );
    }
}
