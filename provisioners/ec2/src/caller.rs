//! The address from which this computer is seen, to let it in and nobody else.

use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use machine_core::{Error, Result};

use crate::connector::{Http, read};

/// Amazon's own word on it: no third party learns of the call that Amazon does not know of already.
const AMAZON: &str = "https://checkip.amazonaws.com/";
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(15);

/// How a machine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// Beside a compatible cloud's endpoint.
    Own(&'a str),
    /// By its address in this network.
    Private(&'a str),
    /// By its public address.
    Internet,
}

/// The network of one address that is to be let in.
///
/// A machine with a public address sees this computer behind its provider's translation, which only somebody outside can
/// tell: Amazon does. One that is reached by its private address, and one of a compatible cloud, is reached the way that this
/// computer's own routes tell.
///
/// # Errors
/// When nobody tells; the hint names the flag that says it.
pub(crate) async fn allowed(http: &Http, way: &Way<'_>) -> Result<String> {
    let found = match way {
        Way::Own(endpoint) => towards(endpoint).await,
        // The way into a private network begins where its traffic leaves this computer, by a VPN perhaps.
        Way::Private(network) => towards(&format!("http://{}", network.split('/').next().unwrap_or_default())).await,
        Way::Internet => ask(http, AMAZON).await,
    };
    let address = found.map_err(|error| {
        error
            .within("the address from which this computer is seen is not known")
            .hint("--ec2-allow-cidr says from where the machine may be reached, as 192.0.2.1/32; SSH and the engine take no proxy")
    })?;
    Ok(network_of(address))
}

fn network_of(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

/// Asks without a proxy, because SSH and the engine are reached without one: a proxy's address would let the wrong one in.
async fn ask(http: &Http, url: &str) -> Result<IpAddr> {
    let failed = |error: reqwest::Error| Error::other("checkip.amazonaws.com does not answer").because(error);
    let response = http.direct().get(url).timeout(LIMIT).send().await.map_err(failed)?;
    let answer = read(response).await.map_err(failed)?;
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(100)]).trim().to_owned();
    text.parse().map_err(|_| Error::other(format!("checkip.amazonaws.com answers {text:?}")))
}

/// The address that packets to a place leave from. None is sent.
async fn towards(url: &str) -> Result<IpAddr> {
    let url = reqwest::Url::parse(url).map_err(|error| Error::other("no address").because(error))?;
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let look = tokio::task::spawn_blocking(move || -> std::io::Result<IpAddr> {
        let there = (host.as_str(), port).to_socket_addrs()?.min_by_key(std::net::SocketAddr::is_ipv6);
        let there = there.ok_or(std::io::ErrorKind::NotFound)?;
        let here = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(here)?;
        socket.connect(there)?;
        Ok(socket.local_addr()?.ip())
    });
    let found = tokio::time::timeout(LIMIT, look).await.map_err(|_| Error::other("the resolver does not answer"))?;
    found
        .map_err(|error| Error::other("the look-up ended").because(error))?
        .map_err(|error| Error::other("no way there").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn amazon_is_asked_without_a_proxy_as_the_machine_is_reached() {
        let says = async |address: &str| {
            let server = wiremock::MockServer::start().await;
            let answer = wiremock::ResponseTemplate::new(200).set_body_string(format!("{address}\n"));
            wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
            server
        };
        let (amazon, proxy) = (says("192.0.2.7").await, says("192.0.2.250").await);
        Http::new().unwrap();
        let builder = || reqwest::Client::builder().resolve("checkip.example", *amazon.address());
        let through_proxy = builder().proxy(reqwest::Proxy::all(proxy.uri()).unwrap()).build().unwrap();
        let http = Http::of(through_proxy, builder().no_proxy().build().unwrap());
        let url = format!("http://checkip.example:{}/", amazon.address().port());
        assert_eq!(ask(&http, &url).await.unwrap().to_string(), "192.0.2.7");
    }

    #[tokio::test]
    async fn a_compatible_cloud_is_reached_from_where_packets_leave() {
        let http = Http::new().unwrap();
        assert_eq!(allowed(&http, &Way::Own("http://127.0.0.1:5000")).await.unwrap(), "127.0.0.1/32");
        assert_eq!(allowed(&http, &Way::Private("127.0.0.0/8")).await.unwrap(), "127.0.0.1/32");
        assert_eq!(network_of("2001:db8::1".parse().unwrap()), "2001:db8::1/128");
    }
}
