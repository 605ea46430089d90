//! `/ui/_gallery`, in debug builds only: every component once, to be looked at in both themes and on a narrow screen.

use actix_web::http::StatusCode;
use askama::Template;

use crate::web::{
    page,
    shell::{Noun, Shell, Toast},
    show,
    visit::{Answer, Visit},
};

#[derive(Template)]
#[template(path = "gallery.html")]
struct Page {
    shell: Shell,
    hostile: &'static str,
}

/// A name that tries everything.
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}txt.exe\u{0}\"'& A-name-that-does-not-end-A-name-that-does-not-end-A-name-that-does-not-end";

/// Shows it.
pub async fn show(visit: Visit) -> Answer {
    let toast = Toast::done("Secret GITHUB_TOKEN saved. In use from the next call.").with_link("View audit", "/audit");
    let shell = visit.shell(Noun::Other, "", "Gallery").await?.saying(Some(toast));
    let shell = shell.on_the_way(&[("Components", "/ui/_gallery".into())], "Gallery");
    Ok(page(StatusCode::OK, &Page { shell, hostile: HOSTILE }))
}
