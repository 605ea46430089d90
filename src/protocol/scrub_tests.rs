//! A secret must not survive in any form in which servers echo it, at any place, and JSON must stay JSON.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRETS: [&str; 5] =
    ["ghp_0123456789abcdef", "p\"w\\d/<&> ~x+=", "sk-aaaa-bbbb==", "12345678", "a b!c*d'e(f)g~h.i_j"];

fn scrubber() -> Scrubber {
    Scrubber::new(&SECRETS.map(str::as_bytes))
}
fn clean(text: &str) -> (String, usize) {
    let (out, hits) = scrubber().scrub(Bytes::copy_from_slice(text.as_bytes()));
    (String::from_utf8(out.to_vec()).unwrap(), hits)
}

/// The forms of a secret, made with other means than the scrubber's where there are some.
fn echoes(secret: &str) -> Vec<String> {
    let percent = |keep: &str| -> String {
        secret
            .bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || keep.as_bytes().contains(&b) {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect()
    };
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let once = serde_json::to_string(secret).unwrap();
    let once = &once[1..once.len() - 1];
    let mut all = vec![secret.to_owned(), once.to_owned(), once.replace('/', "\\/"), json(once)];
    all.push(once.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    for keep in ["-._~", "-._~!*'()", "*-._"] {
        all.extend([percent(keep), percent(keep).to_lowercase().replace(&secret.to_lowercase(), secret)]);
        all.push(percent(keep).replace("%20", "+"));
    }
    for before in ["", "x", "xy", "Bearer ", "user:", "Authorization: Bearer "] {
        for after in ["", "\n", "--"] {
            let text = format!("{before}{secret}{after}");
            all.extend([BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)]);
            all.push(BASE64_STANDARD.encode(&text).trim_end_matches('=').to_owned());
            all.push(BASE64_STANDARD.encode(&text).replace('/', "\\/"));
            all.push(url::form_urlencoded::byte_serialize(BASE64_STANDARD.encode(&text).as_bytes()).collect());
        }
    }
    all.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    all
}

#[test]
fn every_form_of_every_secret_is_found() {
    for secret in SECRETS {
        for echo in echoes(secret) {
            // The lower-cased percent form of a secret with upper-case letters is a different secret.
            let (out, hits) = clean(&format!("<{echo}>"));
            assert!(hits >= 1, "{secret:?} as {echo:?}: {out}");
            assert!(out.contains("[redacted secret]") && !out.contains(&echo), "{secret:?} as {echo:?}: {out}");
        }
    }
}

#[test]
fn clean_input_is_given_back_without_a_copy() {
    let input = Bytes::from(b"{\"content\":[{\"type\":\"text\",\"text\":\"nothing here\"}]}".repeat(50));
    let (out, hits) = scrubber().scrub(input.clone());
    assert_eq!((out.as_ptr(), out.len(), hits), (input.as_ptr(), input.len(), 0));
    let (out, hits) = Scrubber::default().scrub(input.clone());
    assert_eq!((out.as_ptr(), hits), (input.as_ptr(), 0));
}

#[test]
fn short_values_are_not_searched_for() {
    assert!(Scrubber::new(&[b"1234567", b""]).is_empty());
    assert!(!Scrubber::new(&[b"12345678"]).is_empty());
}

#[test]
fn every_occurrence_is_counted() {
    let secret = SECRETS[0];
    let (out, hits) = clean(&format!("{secret}{secret} {secret}"));
    assert_eq!((out.as_str(), hits), ("[redacted secret][redacted secret] [redacted secret]", 3));
}

#[test]
fn a_number_is_replaced_by_a_string() {
    assert_eq!(
        clean(r#"{"pin":12345678,"s":"12345678","n":[-9123456780.5e3]}"#).0,
        r#"{"pin":"[redacted secret]","s":"[redacted secret]","n":["[redacted secret]"]}"#
    );
}

#[test]
fn escapes_at_the_edge_of_a_match_stay_whole() {
    let scrubber = Scrubber::new(&[b"nabcdefgh", b"0041bcdef", b"tail1234\\"]);
    for text in [
        r#"["\nabcdefgh"]"#,
        r#"["\\nabcdefgh"]"#,
        r#"["\u0041bcdef"]"#,
        r#"["\\\nabcdefgh\n"]"#,
        r#"["tail1234\"x"]"#,
        r#"["tail1234\u0041"]"#,
    ] {
        let (out, hits) = scrubber.scrub(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(hits, 1, "{text}");
        assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{text}: {}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn a_scrubber_never_shows_what_it_looks_for() {
    assert_eq!(format!("{:?}", scrubber()), "Scrubber(…)");
}

fn around() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-zA-Z0-9+/=\\\\\"\n%u]{0,20}"]
}

proptest! {
    #[test]
    fn json_stays_json_and_loses_the_secret(before in around(), after in around(), which in 0usize..5, form in any::<prop::sample::Index>(), pretty in any::<bool>()) {
        let echoes = echoes(SECRETS[which]);
        let echo = &echoes[form.index(echoes.len())];
        let message = json!({"jsonrpc": "2.0", "result": {"content": [{"text": format!("{before}{echo}{after}"), "n": 9_123_456_780_u64}], (format!("k{echo}")): 12345678}});
        let body = if pretty { serde_json::to_string_pretty(&message) } else { serde_json::to_string(&message) }.unwrap();
        let (out, hits) = clean(&body);
        prop_assert!(hits >= 2);
        prop_assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
        for secret in SECRETS {
            let escaped = serde_json::to_string(secret).unwrap();
            prop_assert!(!out.contains(escaped.trim_matches('"')), "{out}");
        }
    }

    #[test]
    fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (out, hits) = scrubber().scrub(Bytes::from(bytes.clone()));
        if hits == 0 { prop_assert_eq!(&out[..], &bytes[..]); }
    }
}
