//! Streams that are held for the next publisher: which, for how long, and what is left of them.

use super::resume::Gap;
use super::*;

#[test]
fn a_stream_is_held_for_its_time_and_not_longer() {
    let mut gap = Gap::with_both_tracks();
    gap.registry.end_overdue(gap.lost + RESUME - Duration::from_millis(1));
    assert_eq!(gap.peek(), (vec![], Ahead::Nothing));
    assert!(gap.registry.joinable(&name()).is_some(), "who comes now is held, too");
    let lost_for = gap.registry.status()[0].lost_for.unwrap();
    assert!(lost_for < Duration::from_secs(5), "{lost_for:?}");
    gap.registry.end_overdue(gap.lost + RESUME);
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::PublisherLost)));
    assert!(gap.registry.joinable(&name()).is_none());
    let encoder = gap.returns(RESUME, 0);
    assert!(!Arc::ptr_eq(&gap.live, &encoder.live()), "too late: a new stream");
}

#[test]
fn who_ends_in_good_order_or_sends_nothing_or_may_not_be_waited_for_is_not_held() {
    let ended = |settings: StreamSettings, reason| {
        let mut encoder = Encoder::with_both_tracks(settings);
        encoder.gop(5, 10);
        let (live, now) = (encoder.live(), encoder.now());
        (encoder.publication.finish(reason, now), live.ended())
    };
    for reason in [EndReason::Unpublished, EndReason::PublisherSilent, EndReason::Shutdown] {
        assert_eq!(ended(settings(), reason), (None, Some(reason)));
    }
    assert_eq!(ended(settings(), EndReason::Replaced), (Some(RESUME), None));
    let at_once = StreamSettings { resume: Duration::ZERO, ..settings() };
    for reason in [EndReason::PublisherLost, EndReason::Replaced] {
        assert_eq!(ended(at_once.clone(), reason), (None, Some(reason)));
    }
}

#[test]
fn no_more_streams_are_held_than_there_may_be_and_those_without_viewers_go_first() {
    let registry = Registry::new(StreamSettings { held: 3, ..settings() });
    let start = Instant::now();
    let lose = |number: u64| {
        let name = StreamName::new("live", &number.to_string()).unwrap();
        let now = start + Duration::from_millis(number);
        let publication = registry.publish(&name, "test", now).unwrap();
        let mut encoder = Encoder { registry: Arc::clone(&registry), publication, start: now, time: 0 };
        encoder.metadata(&["videocodecid"]);
        encoder.send(Video, VIDEO_HEADER);
        encoder.gop(1, 10);
        let live = encoder.live();
        let viewer = (number == 0).then(|| Watching::new(encoder.live(), Protocol::HttpFlv));
        encoder.publication.finish(EndReason::PublisherLost, now);
        (live, viewer)
    };
    let streams: Vec<_> = (0..5).map(lose).collect();
    let held: Vec<_> = streams.iter().map(|(live, _)| live.ended().is_none()).collect();
    assert_eq!(held, [true, false, false, true, true]);
    assert_eq!(registry.status().len(), 3);
}

#[test]
fn nobody_goes_on_with_what_a_panic_has_left() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let (live, publication) = (encoder.live(), encoder.publication);
    let thread = std::thread::spawn(move || {
        let _publication = publication;
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    assert_eq!(live.ended(), Some(EndReason::PublisherLost));
}

#[test]
fn a_stream_may_be_held_for_ever() {
    let mut encoder = Encoder::with_both_tracks(StreamSettings { resume: Duration::MAX, ..settings() });
    encoder.gop(5, 10);
    let (registry, live, now) = (Arc::clone(&encoder.registry), encoder.live(), encoder.now());
    assert!(encoder.publication.finish(EndReason::PublisherLost, now).is_some());
    registry.end_overdue(now + Duration::from_secs(24 * 3600));
    assert_eq!(live.ended(), None);
    assert!(registry.publish(&name(), "next", now).is_ok());
}

#[test]
fn a_panic_at_the_end_frees_the_name() {
    /// Panics at the last burst.
    #[derive(Debug)]
    struct Bomb;

    impl Outlet for Bomb {
        fn notify(&self, event: StreamEvent) {
            assert!(matches!(event, StreamEvent::Ended(_)), "thrown by a test");
        }
    }

    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(1, 10);
    encoder.audio();
    let outlet: Arc<dyn Outlet> = Arc::new(Bomb);
    encoder.live().attach(&outlet);
    let (registry, live, now) = (Arc::clone(&encoder.registry), encoder.live(), encoder.now());
    let publication = encoder.publication;
    let thread = std::thread::spawn(move || publication.finish(EndReason::PublisherLost, now));
    assert!(thread.join().is_err());
    assert_eq!(live.ended(), Some(EndReason::PublisherLost));
    assert!(registry.publish(&name(), "next", now).is_ok());
}

#[test]
fn one_who_ends_in_good_order_what_it_has_sent_nothing_of_lets_nobody_go() {
    let mut gap = Gap::with_both_tracks();
    let mut encoder = gap.returns(Duration::from_secs(2), 0);
    encoder.send(Video, VIDEO_HEADER);
    let (left, now) = (RESUME - Duration::from_secs(2), encoder.now());
    assert_eq!(encoder.publication.finish(EndReason::Unpublished, now), Some(left));
    assert_eq!(gap.peek(), (vec![], Ahead::Nothing));
    // The next one sends a frame, and then it is its own.
    let mut encoder = gap.returns(Duration::from_secs(3), 0);
    encoder.gop(1, 10);
    let now = encoder.now();
    assert_eq!(encoder.publication.finish(EndReason::Unpublished, now), None);
    gap.peek();
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::Unpublished)));
}

#[test]
fn what_came_last_is_shown_while_the_publisher_is_lost() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(49, 10);
    let gap = Gap::after(encoder);
    assert_eq!(gap.live.status(gap.lost + Duration::from_secs(9)).video_frames, 49);
}

#[test]
fn a_stream_that_is_held_can_be_ended_by_the_number_of_its_last_publisher() {
    let mut gap = Gap::with_both_tracks();
    let mut encoder = gap.returns(Duration::from_secs(1), 0);
    let last = encoder.publication.id;
    encoder.gop(1, 10);
    let now = encoder.now();
    assert!(encoder.publication.finish(EndReason::PublisherLost, now).is_some());
    gap.peek();
    assert!(gap.registry.kick(last - 1).is_none());
    assert!(gap.registry.kick(last).is_some_and(|live| Arc::ptr_eq(&live, &gap.live)));
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::Kicked)));
    assert!(gap.registry.kick(last).is_none() && gap.registry.status().is_empty());
}
