//! Opening an HTTP+SSE server's stream (2024-11-05). The stream's first event names the URL that messages are posted
//! to; it must be of the same origin, or a server could have our credentials sent elsewhere.

use url::Url;

use crate::upstream::{
    EventStream, UpstreamError,
    exchange::{Endpoint, Stage},
    negotiate::Approach,
    patience::Patience,
};

/// The stream and where messages are posted.
pub(super) async fn open(approach: &Approach<'_>) -> Result<(EventStream, Url), UpstreamError> {
    let endpoint = Endpoint::new(approach.client, approach.url, Stage::Handshake, approach.injected)?;
    let response = endpoint.open(None, approach.patience).await?;
    let limits = approach.client.limits().stream;
    let mut stream = EventStream::http(response, limits, Patience::endless(approach.patience.begin), None);
    let first = async {
        while let Some(event) = stream.next().await? {
            if event.event.as_deref() == Some("endpoint") {
                return Ok(event.data);
            }
        }
        Err(UpstreamError::Protocol("its event stream named no endpoint".into()))
    };
    let named = tokio::time::timeout_at(approach.patience.begin_by().into(), first).await;
    let named = named.map_err(|_elapsed| UpstreamError::Timeout(approach.patience.begin))??;
    let post = resolve(approach.url, &named)?;
    Ok((stream, post))
}

fn resolve(url: &Url, named: &[u8]) -> Result<Url, UpstreamError> {
    let text = std::str::from_utf8(named).unwrap_or_default().trim();
    let joined = url.join(text).map_err(|_cause| UpstreamError::Protocol("its endpoint event is no URL".into()))?;
    if joined.origin() != url.origin() || !joined.username().is_empty() || joined.password().is_some() {
        return Err(UpstreamError::Protocol("its endpoint event names another origin".into()));
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_posted_only_to_the_same_origin() {
        let url = Url::parse("https://a.example/sse").unwrap();
        let posts = |named: &str| resolve(&url, named.as_bytes()).ok().map(|url| url.to_string());
        assert_eq!(posts("/messages?sessionId=1").as_deref(), Some("https://a.example/messages?sessionId=1"));
        assert_eq!(posts("https://a.example:443/m").as_deref(), Some("https://a.example/m"));
        for foreign in [
            "https://b.example/m",
            "http://a.example/m",
            "//b.example/m",
            "https://a.example:444/m",
            "https://u@a.example/m",
        ] {
            assert_eq!(posts(foreign), None, "{foreign}");
        }
    }
}
