//! Style, scripts and drawings of the pages. They are part of the binary; their URLs carry a hash of their content, so
//! that a browser keeps them for ever and never sees old ones. Compressed once, when they are asked for first.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Path},
};
use sha2::{Digest as _, Sha256};

use crate::{domain::audit_checkpoint::hex, web::packed};

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, type, content in parts.
const FILES: &[(&str, &str, &[&[u8]])] = &[
    ("app.css", CSS, &[include_bytes!("assets/vendor/uplot-1.6.32.min.css"), b"\n", include_bytes!("assets/app.css")]),
    ("docs.css", CSS, &[include_bytes!("assets/docs.css")]),
    ("htmx.js", SCRIPT, &[include_bytes!("assets/vendor/htmx-4.0.1.min.js")]),
    // A classic script; as a module it says what it has made.
    ("uplot.js", SCRIPT, &[include_bytes!("assets/vendor/uplot-1.6.32.iife.min.js"), b"\nexport default uPlot;\n"]),
    ("theme.js", SCRIPT, &[include_bytes!("assets/theme.js")]),
    ("chart.js", SCRIPT, &[include_bytes!("assets/chart.js")]),
    ("live.js", SCRIPT, &[include_bytes!("assets/live.js")]),
    ("code.js", SCRIPT, &[include_bytes!("assets/code.js")]),
    ("app.js", SCRIPT, &[include_bytes!("assets/app.js")]),
    ("wait.js", SCRIPT, &[include_bytes!("assets/wait.js")]),
    ("tables.js", SCRIPT, &[include_bytes!("assets/tables.js")]),
    ("mark.svg", "image/svg+xml", &[include_bytes!("assets/mark.svg")]),
];

struct Asset {
    name: &'static str,
    kind: &'static str,
    plain: Bytes,
    packed: Bytes,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, kind, parts): &(&'static str, &'static str, &[&[u8]])| {
        let plain = parts.concat();
        Asset { name, kind, packed: packed::once(&plain), plain: plain.into() }
    };
    FILES.iter().map(asset).collect()
});

static BASE: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, _, parts) in FILES {
        hash.update(name.as_bytes());
        parts.iter().for_each(|part| hash.update(part));
    }
    format!("/ui/{}", hex(hash.finalize().get(..8).unwrap_or_default()))
});

/// What the URLs of all assets begin with.
pub fn base() -> &'static str {
    &BASE
}

/// Serves one. Under another hash (a page that was open while the gateway was replaced) it is served, but not kept.
pub async fn serve(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let (hash, name) = path.into_inner();
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return HttpResponse::NotFound().finish();
    };
    let kept = base().strip_prefix("/ui/") == Some(&hash);
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, asset.kind))
        .insert_header((header::CACHE_CONTROL, if kept { "public, max-age=31536000, immutable" } else { "no-cache" }))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::VARY, "accept-encoding"));
    if packed::is_taken(&request) {
        return answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(asset.packed.clone());
    }
    answer.body(asset.plain.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_load_is_under_100_kilobytes() {
        let sum: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        assert!(sum < 80 * 1024, "{sum} bytes compressed; the rest is for the page itself");
    }
}
