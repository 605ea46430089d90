//! Pages cross the network small, and nothing can be learnt from how small they are.

use std::{collections::BTreeSet, io::Read as _};

use flate2::read::GzDecoder;

use super::furnished;
use crate::support::{Browser, Request, Response};

/// A page, as a browser with this `Accept-Encoding` asks for it.
fn asked(browser: &Browser, path: &str, encodings: &str) -> Response {
    let cookie = browser.cookie.clone().expect("a session");
    Request::get(path).header("cookie", &cookie).header("accept-encoding", encodings).send(browser.address).expect(200)
}

#[test]
fn a_page_is_compressed_for_who_can_read_it() {
    let (_gateway, mut browser) = furnished();
    let style = browser.get("/overview").expect(200).text();
    let style = style.split('"').find(|link| link.ends_with("/app.css")).expect("its style").to_owned();
    for path in ["/overview", "/workspaces/engineering/tokens", "/audit", "/docs", style.as_str()] {
        let plain = browser.get(path).expect(200);
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")), "{path}");
        let vary = plain.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("vary")).count();
        assert_eq!(vary, 1, "{path}");
        for none in ["identity", "br", "gzip;q=0", "gzip;q=0, identity;q=0.5", ""] {
            assert_eq!(asked(&browser, path, none).header("content-encoding"), None, "{path}: {none:?}");
        }
        for known in ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.8"] {
            let packed = asked(&browser, path, known);
            assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}: {known}");
            assert_eq!(packed.header("vary"), Some("accept-encoding"), "{path}");
            let differs = ["content-length", "content-encoding", "x-request-id", "date"];
            let rest = |of: &Response| -> BTreeSet<(String, String)> {
                of.headers.iter().filter(|(name, _)| !differs.contains(&name.as_str())).cloned().collect()
            };
            assert_eq!(rest(&packed), rest(&plain), "{path}");
            let mut text = String::new();
            GzDecoder::new(&*packed.body).read_to_string(&mut text).expect("it is whole");
            assert!(text.len() > 3 * packed.body.len(), "{path}: {} of {}", packed.body.len(), text.len());
            let begin = |text: &str| text.chars().take(200).collect::<String>();
            assert_eq!(begin(&text), begin(&plain.text()), "{path}");
        }
    }
}

#[test]
fn what_answers_a_form_is_never_compressed() {
    let (_gateway, browser) = furnished();
    let csrf = browser.csrf.clone().expect("a token");
    let form = [("do", "create"), ("name", "Alice Chen"), ("expires_in", "86400"), ("csrf", &csrf)];
    let request = browser.form("/workspaces/engineering/tokens", &form).header("accept-encoding", "gzip");
    let page = request.header("sec-fetch-site", "same-origin").send(browser.address).expect(200);
    assert_eq!(page.header("content-encoding"), None);
    assert!(page.text().contains("Shown once.") && page.body.len() > 10_000);
}

#[test]
fn the_token_of_forms_looks_different_each_time_and_each_holds() {
    let (_gateway, mut browser) = furnished();
    let mut seen = BTreeSet::new();
    for slug in ["one", "two", "three", "four"] {
        let page = browser.get("/workspaces?new").expect(200).text();
        let fields: BTreeSet<_> =
            page.split("name=\"csrf\" value=\"").skip(1).map(|rest| rest[..43].to_owned()).collect();
        assert_eq!(fields.len(), 1, "one for all forms of a page");
        seen.extend(fields.iter().cloned());
        browser.csrf = fields.into_iter().next();
        browser.submit("/workspaces", &[("name", ""), ("slug", slug)]).expect(303);
    }
    assert_eq!(seen.len(), 4);
    // The first one still holds; one that was made from two does not.
    let (first, last) = (seen.first().expect("one").clone(), seen.last().expect("another").clone());
    browser.csrf = Some(first.clone());
    browser.submit("/workspaces", &[("name", ""), ("slug", "five")]).expect(303);
    browser.csrf = Some(format!("{}{}", &first[..20], &last[20..]));
    let refused = browser.submit("/workspaces", &[("name", ""), ("slug", "six")]).expect(403);
    assert!(refused.text().contains("session"), "{}", refused.text());
}
