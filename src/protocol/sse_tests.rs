//! The decoder must give the same events however the bytes are cut.

use proptest::prelude::*;

use super::*;

fn decode(chunks: &[&[u8]], limit: usize) -> Result<Vec<Event>, TooLarge> {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
    }
    Ok(events)
}

fn event(event: Option<&str>, id: Option<&str>, data: &str, retry: Option<u64>) -> Event {
    Event { event: event.map(Into::into), id: id.map(Into::into), data: Bytes::copy_from_slice(data.as_bytes()), retry }
}

const STREAM: &[u8] = b"\xEF\xBB\xBF: hello\r\n\r\nid: 1\nretry: 3000\ndata:\n\nevent: message\r\ndata: {\"a\":1}\r\n\r\n\
    data:one\rdata:  two\r\rdata\ndata\n\nevent: x\n\nid: a\0b\ndata: y\n\nretry: soon\nunknown: z\ndata:caf\xC3\xA9\n\ndata: lost";

fn expected() -> Vec<Event> {
    vec![
        event(None, Some("1"), "", Some(3000)),
        event(Some("message"), None, "{\"a\":1}", None),
        event(None, None, "one\n two", None),
        event(None, None, "\n", None),
        event(None, None, "y", None),
        event(None, None, "caf\u{e9}", None),
    ]
}

#[test]
fn every_cut_in_two_and_three_gives_the_same_events() {
    assert_eq!(decode(&[STREAM], 1000).unwrap(), expected());
    for first in 0..=STREAM.len() {
        for second in first..=STREAM.len() {
            let chunks = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
            assert_eq!(decode(&chunks, 1000).unwrap(), expected(), "cut at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
    assert_eq!(decode(&bytes, 1000).unwrap(), expected());
}

#[test]
fn an_event_is_given_as_soon_as_its_last_byte_is_there() {
    let mut decoder = Decoder::new(100);
    decoder.feed(b"data: a\r\n\r");
    assert_eq!(decoder.next().unwrap().unwrap().data, "a");
    assert!(!decoder.is_mid_event());
    decoder.feed(b"\ndata: b\n");
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.is_mid_event());
    decoder.feed(b"\n");
    assert_eq!(decoder.next().unwrap().unwrap().data, "b");
}

#[test]
fn events_over_the_limit_are_an_error() {
    let long = format!("data: {}\n\n", "x".repeat(200));
    assert_eq!(decode(&[long.as_bytes()], 100), Err(TooLarge));
    assert_eq!(decode(&long.as_bytes().chunks(7).collect::<Vec<_>>(), 100), Err(TooLarge));
    let lines = "data: 0123456789\n".repeat(20);
    assert_eq!(decode(&[lines.as_bytes()], 100), Err(TooLarge));
    let comment = format!(": {}", "x".repeat(200));
    assert_eq!(decode(&[comment.as_bytes()], 100), Err(TooLarge));
    let fits = format!("data: {}\n\n", "x".repeat(100));
    assert_eq!(decode(&[fits.as_bytes()], 100).unwrap().len(), 1);
}

#[test]
fn many_small_events_never_add_up_to_the_limit() {
    let stream = "data: 0123456789\n\n".repeat(1000);
    assert_eq!(decode(&[stream.as_bytes()], 20).unwrap().len(), 1000);
}

#[test]
fn an_event_name_cannot_smuggle_lines() {
    let mut out = BytesMut::new();
    encode_event(&mut out, Some("x\ndata: evil"), Some("1"), b"{}");
    assert_eq!(&out[..], b"id: 1\ndata: {}\n\n");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes(
        data in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), 32u8..127], 0..60),
        name in prop::option::of("[a-z]{1,8}"), id in prop::option::of("[a-z0-9 ]{0,8}"), cut in 0usize..80,
    ) {
        let mut out = BytesMut::new();
        encode_event(&mut out, name.as_deref(), id.as_deref(), &data);
        let cut = cut.min(out.len());
        let events = decode(&[&out[..cut], &out[cut..]], 1000).unwrap();
        let text = String::from_utf8(data).unwrap().replace("\r\n", "\n").replace('\r', "\n");
        // An id that begins with a space keeps it: one space after the colon is ours.
        let want = event(name.as_deref(), id.as_deref(), &text, None);
        let want = if want.data.is_empty() && id.is_none() { vec![] } else { vec![want] };
        prop_assert_eq!(events, want);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_cuts_never_matter(bytes in prop::collection::vec(prop_oneof![
        Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), Just(0u8), any::<u8>()], 0..80), cut in 0usize..80) {
        let cut = cut.min(bytes.len());
        prop_assert_eq!(decode(&[&bytes], 1000), decode(&[&bytes[..cut], &bytes[cut..]], 1000));
    }
}
