//! HTTP for both halves: our own calls, and those that `aws-config` makes on its way to credentials. One TLS stack for all.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use machine_core::{Result, ResultExt as _};
use reqwest::Url;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take as a whole; the longest ones (a page of a thousand instances) take a few seconds.
const ANSWER: Duration = Duration::from_secs(60);
/// The most that an answer may hold, bytes.
const LARGEST: usize = 32 << 20;

/// Sends requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    through_proxy: reqwest::Client,
    /// This computer, and metadata services beside it, are not reached through anybody's proxy.
    direct: reqwest::Client,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new() -> Result<Self> {
        // Somebody else in this process may have chosen already: then theirs is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .redirect(Policy::none())
                .connect_timeout(CONNECT)
                .timeout(ANSWER)
                .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
        };
        let made = |client: reqwest::Result<reqwest::Client>| client.context(|| "cannot prepare calls to AWS".into());
        Ok(Self { through_proxy: made(builder().build())?, direct: made(builder().no_proxy().build())? })
    }

    pub(crate) fn client(&self, url: &str) -> &reqwest::Client {
        if is_near(url) { &self.direct } else { &self.through_proxy }
    }

    /// What reaches a host without a proxy.
    pub(crate) fn direct(&self) -> &reqwest::Client {
        &self.direct
    }

    /// Sends a request and reads its answer, of whatever status.
    pub(crate) async fn send(&self, request: reqwest::Request) -> Result<Answer, reqwest::Error> {
        read(self.client(request.url().as_str()).execute(request).await?).await
    }

    #[cfg(test)]
    pub(crate) fn of(through_proxy: reqwest::Client, direct: reqwest::Client) -> Self {
        Self { through_proxy, direct }
    }

    /// The same, for `aws-config`.
    pub(crate) fn for_sdk(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }
}

/// Whether a URL leads to this computer or to a service beside it (EC2's and ECS's metadata: link-local addresses).
/// Reads an answer whole.
pub(crate) async fn read(mut response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

fn is_near(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::254 is EC2's metadata service.
        Ok(std::net::IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

#[derive(Debug)]
struct Connector(Http);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            if request.body().bytes().is_none() {
                return Err(ConnectorError::user("a body that is streamed".into()));
            }
            let request = request.map(|body| body.bytes().map(<[u8]>::to_vec).unwrap_or_default());
            let request = reqwest::Request::try_from(request).map_err(|error| ConnectorError::user(error.into()))?;
            let answer = http.send(request).await.map_err(|error| match error.is_timeout() {
                true => ConnectorError::timeout(error.into()),
                false => ConnectorError::io(error.into()),
            })?;
            let status = answer.status.try_into().map_err(|_| ConnectorError::user("a status that is none".into()))?;
            let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
            for (name, value) in &answer.headers {
                if let Ok(value) = value.to_str() {
                    response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computer_and_the_services_beside_it_are_reached_without_a_proxy() {
        for near in [
            "http://127.0.0.1:5000/",
            "http://[::1]/",
            "http://localhost:1/x",
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in ["https://ec2.eu-central-1.amazonaws.com/", "http://192.0.2.1/", "nonsense"] {
            assert!(!is_near(far), "{far}");
        }
    }
}
