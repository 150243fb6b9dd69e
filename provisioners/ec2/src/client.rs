//! Calls over HTTPS: signed, limited in time, repeated where that helps.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use machine_core::{Code, Error, Result, ResultExt as _};

use crate::answers;
use crate::calls::{self, Call, Service};
use crate::cloud::{
    CallError, Called, Cloud, Group, Identity, Image, Instance, InstanceType, KeyPair, Launch, Manner, NewGroup,
    NewKeyPair, Rule, Subnet, Volume, Vpc,
};
use crate::connector::{Answer, Http};
use crate::credentials::{Keys, Wallet};
use crate::failure::{self, Around};
use crate::pace::{self, Pace};
use crate::query::{Filter, Query};
use crate::xml::Element;

/// How often a connection is tried: a host that nobody knows (a region that there is not) stays so.
const CONNECTIONS: u32 = 3;
/// More pages than any account has; a server that never comes to an end is not followed for ever.
const MOST_PAGES: usize = 1000;

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Place {
    /// The region.
    pub region: String,
    /// An address in place of the usual one. One of a compatible cloud (or a test) has all services; one of Amazon's own, such
    /// as a VPC endpoint, has EC2 alone.
    pub endpoint: Option<String>,
    /// The profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// Keys for this command alone, in place of the chain.
    pub keys: Option<Keys>,
    /// How calls are repeated.
    pub pace: Pace,
}

/// Amazon, over HTTPS.
pub(crate) struct AwsClient {
    http: Http,
    wallet: Wallet,
    place: Place,
}

/// What is sent.
struct Message<'a> {
    service: Service,
    action: &'a str,
    body: String,
}

impl AwsClient {
    pub(crate) fn new(http: Http, place: Place) -> Self {
        let wallet = Wallet::new(&http, &place.region, place.profile.as_deref(), place.keys.as_ref());
        Self { http, wallet, place }
    }

    pub(crate) fn url(&self, service: Service) -> String {
        match &self.place.endpoint {
            Some(endpoint) if service == Service::Ec2 || !is_amazons(endpoint) => {
                format!("{}/", endpoint.trim_end_matches('/'))
            }
            _ => {
                // Partitions with addresses of their own: China, and the European Sovereign Cloud.
                let suffix = match self.place.region.split_once('-') {
                    Some(("cn", _)) => "amazonaws.com.cn",
                    Some(("eusc", _)) => "amazonaws.eu",
                    _ => "amazonaws.com",
                };
                format!("https://{}.{}.{suffix}/", service.name(), self.place.region)
            }
        }
    }

    fn around<'a>(&'a self, action: &'a str) -> Around<'a> {
        Around { action, region: &self.place.region, ..Around::default() }
    }

    async fn signed(&self, message: &Message<'_>) -> Result<reqwest::Request> {
        let url = self.url(message.service);
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        if message.service == Service::Ssm {
            headers = vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amz-target", format!("AmazonSSM.{}", message.action)),
            ];
        }
        let identity = self.wallet.credentials().await?.into();
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| Error::other("cannot sign a call to AWS").because(error);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.place.region)
            .name(message.service.name())
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(error.into()))?
            .into();
        let named = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new("POST", &url, named, SignableBody::Bytes(message.body.as_bytes()))
            .map_err(|error| failed(error.into()))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| failed(error.into()))?.into_parts();
        let mut request = self.http.client(&url).post(&url).body(message.body.clone());
        for (name, value) in named_owned(&headers) {
            request = request.header(name, value);
        }
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        request.build().context(|| format!("cannot call {url}"))
    }

    /// Sends a message, again where that may help.
    async fn send(&self, message: &Message<'_>, passing: &[&str]) -> Called<Answer> {
        let action = message.action;
        let mut attempt = 0;
        loop {
            let request = self.signed(message).await.map_err(|error| CallError { code: String::new(), error })?;
            let last = attempt + 1 >= self.place.pace.attempts;
            let failure = match self.http.send(request).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) => {
                    let (code, said) = fault(&answer, message.service);
                    tracing::debug!(action, status = answer.status, code, "AWS refuses");
                    let again = pace::passes(answer.status, &code) || passing.contains(&code.as_str());
                    if last || !again {
                        return Err(self.refused(&code, &said, &answer, action).await);
                    }
                    code
                }
                Err(error) => {
                    tracing::debug!(action, %error, "AWS does not answer");
                    if last || (error.is_connect() && attempt + 1 >= CONNECTIONS) {
                        let host = self.url(message.service);
                        let error = failure::unanswered(&error, action, host.trim_end_matches('/'));
                        return Err(CallError { code: String::new(), error });
                    }
                    error.to_string()
                }
            };
            let pause = self.place.pace.pause(attempt);
            tracing::debug!(action, failure, ?pause, "the call is repeated");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// What a refusal means, with its message decoded where AWS encoded it.
    async fn refused(&self, code: &str, said: &str, answer: &Answer, action: &str) -> CallError {
        let decoded = match said.split_once("Encoded authorization failure message: ") {
            Some((_, encoded)) => self.decoded(encoded.trim()).await,
            None => None,
        };
        let around = Around { ahead: ahead(answer), decoded: decoded.as_deref(), ..self.around(action) };
        let said = if code.is_empty() { format!("HTTP status {}", answer.status) } else { said.to_owned() };
        CallError { code: code.to_owned(), error: failure::explain(code, &said, around) }
    }

    /// The words behind an encoded message, for those who may read them.
    async fn decoded(&self, encoded: &str) -> Option<String> {
        let call = calls::decode(encoded);
        let request = self.signed(&query_message(&call)).await.ok()?;
        let answer = self.http.send(request).await.ok().filter(|answer| answer.status == 200)?;
        let answer = Element::parse(&answer.body).ok()?;
        failure::decoded(&answer.text(&["DecodeAuthorizationMessageResult", "DecodedMessage"])?)
    }

    async fn call(&self, call: &Call) -> Called<Element> {
        let answer = self.send(&query_message(call), call.passing).await?;
        Element::parse(&answer.body).map_err(|error| CallError {
            code: String::new(),
            error: error.within(format!("{} of {}", call.action, self.url(call.service))),
        })
    }

    /// All pages of a listing.
    async fn pages<T>(&self, call: Call, read: fn(&Element) -> Vec<T>) -> Called<Vec<T>> {
        let mut found = Vec::new();
        let mut page = call.clone();
        for _ in 0..MOST_PAGES {
            let answer = self.call(&page).await?;
            found.extend(read(&answer));
            match answer.text(&["nextToken"]) {
                Some(token) => page.query = call.query.clone().with("NextToken", token),
                None => return Ok(found),
            }
        }
        let error = Error::other(format!("{} does not come to an end", call.action));
        Err(CallError { code: String::new(), error })
    }

    async fn filtered<T>(
        &self,
        action: &'static str,
        filters: &[Filter],
        read: fn(&Element) -> Vec<T>,
    ) -> Called<Vec<T>> {
        self.pages(calls::listing(action, Query::new().filters(filters)), read).await
    }

    /// A call whose dry run "fails" with the word that it would have succeeded.
    async fn create(&self, call: Call, dry: bool) -> Called<Element> {
        match self.call(&call).await {
            Err(error) if dry && error.code == "DryRunOperation" => Ok(Element::default()),
            result => result,
        }
    }
}

/// Whether an address is one of Amazon's own (those of VPC endpoints and dual-stack ones included).
fn is_amazons(endpoint: &str) -> bool {
    let host = reqwest::Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let suffixes = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".api.aws",
        ".api.amazonwebservices.com.cn",
        ".api.amazonwebservices.eu",
    ];
    suffixes.iter().any(|suffix| host.ends_with(suffix))
}

fn named_owned<'a>(headers: &'a [(&'static str, String)]) -> impl Iterator<Item = (&'static str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str()))
}

fn query_message(call: &Call) -> Message<'static> {
    let begin = Query::new().with("Action", call.action).with("Version", call.service.version()).form();
    let rest = call.query.form();
    let body = if rest.is_empty() { begin } else { format!("{begin}&{rest}") };
    Message { service: call.service, action: call.action, body }
}

/// The code and message of a refusal; the code is empty where the answer is no word of AWS's.
fn fault(answer: &Answer, service: Service) -> (String, String) {
    let said = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
    if service == Service::Ssm {
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = value["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        let message = value["message"].as_str().or_else(|| value["Message"].as_str());
        return (code, message.map_or_else(said, str::to_owned));
    }
    Element::parse(&answer.body)
        .ok()
        .and_then(|answer| answers::fault(&answer))
        .unwrap_or_else(|| (String::new(), said()))
}

/// How far this computer's clock is ahead of the server's, seconds.
fn ahead(answer: &Answer) -> Option<i64> {
    let date = answer.headers.get(reqwest::header::DATE)?.to_str().ok()?;
    let there = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(Timestamp::now().as_second() - there.as_second())
}

#[async_trait]
impl Cloud for AwsClient {
    fn region(&self) -> &str {
        &self.place.region
    }

    fn endpoint(&self) -> Option<&str> {
        self.place.endpoint.as_deref().filter(|endpoint| !is_amazons(endpoint))
    }

    async fn identity(&self) -> Called<Identity> {
        let answer = self.call(&calls::identity()).await?;
        Ok(Identity { account: answer.text_or_empty(&["GetCallerIdentityResult", "Account"]) })
    }

    async fn parameters(&self, names: &[String]) -> Called<BTreeMap<String, String>> {
        let body = serde_json::json!({ "Names": names }).to_string();
        let answer = self.send(&Message { service: Service::Ssm, action: "GetParameters", body }, &[]).await?;
        let value: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| CallError {
            code: String::new(),
            error: Error::other("the answer of SSM is not JSON").because(error),
        })?;
        let parameters = value["Parameters"].as_array().cloned().unwrap_or_default();
        let pair = |parameter: &serde_json::Value| {
            Some((parameter["Name"].as_str()?.to_owned(), parameter["Value"].as_str()?.to_owned()))
        };
        Ok(parameters.iter().filter_map(pair).collect())
    }

    async fn regions(&self) -> Called<Vec<String>> {
        Ok(answers::regions(&self.call(&calls::regions()).await?))
    }

    async fn image(&self, id: &str) -> Called<Option<Image>> {
        Ok(answers::images(&self.call(&calls::image(id)).await?).into_iter().next())
    }

    async fn images(&self, owners: &[String], filters: &[Filter]) -> Called<Vec<Image>> {
        self.pages(calls::images(owners, filters), answers::images).await
    }

    async fn instance_type(&self, name: &str) -> Called<Option<InstanceType>> {
        Ok(answers::instance_types(&self.call(&calls::instance_type(name)).await?).into_iter().next())
    }

    async fn zones_of_type(&self, name: &str) -> Called<Vec<String>> {
        self.pages(calls::zones_of_type(name), answers::zones).await
    }

    async fn vpcs(&self, filters: &[Filter]) -> Called<Vec<Vpc>> {
        self.filtered("DescribeVpcs", filters, answers::vpcs).await
    }

    async fn subnets(&self, filters: &[Filter]) -> Called<Vec<Subnet>> {
        self.filtered("DescribeSubnets", filters, answers::subnets).await
    }

    async fn groups(&self, filters: &[Filter]) -> Called<Vec<Group>> {
        self.filtered("DescribeSecurityGroups", filters, answers::groups).await
    }

    async fn create_group(&self, group: &NewGroup, dry: bool) -> Called<String> {
        Ok(self.create(calls::create_group(group, dry), dry).await?.text_or_empty(&["groupId"]))
    }

    async fn authorize(&self, group: &str, rules: &[Rule]) -> Called<()> {
        self.call(&calls::authorize(group, rules)).await.map(drop)
    }

    async fn revoke(&self, group: &str, rules: &[Rule]) -> Called<()> {
        self.call(&calls::revoke(group, rules)).await.map(drop)
    }

    async fn delete_group(&self, id: &str) -> Called<()> {
        self.call(&calls::delete_group(id)).await.map(drop)
    }

    async fn key_pairs(&self, filters: &[Filter]) -> Called<Vec<KeyPair>> {
        // The one listing without pages.
        let call = Call {
            service: Service::Ec2,
            action: "DescribeKeyPairs",
            query: Query::new().filters(filters),
            passing: &[],
        };
        Ok(answers::key_pairs(&self.call(&call).await?))
    }

    async fn import_key_pair(&self, key: &NewKeyPair, dry: bool) -> Called<()> {
        self.create(calls::import_key_pair(key, dry), dry).await.map(drop)
    }

    async fn delete_key_pair(&self, name: &str) -> Called<()> {
        self.call(&calls::delete_key_pair(name)).await.map(drop)
    }

    async fn run(&self, launch: &Launch, dry: bool) -> Called<Vec<Instance>> {
        Ok(answers::instances(&self.create(calls::run(launch, dry), dry).await?))
    }

    async fn instances(&self, filters: &[Filter]) -> Called<Vec<Instance>> {
        self.filtered("DescribeInstances", filters, answers::reserved_instances).await
    }

    async fn instance(&self, id: &str) -> Called<Option<Instance>> {
        match self.call(&calls::instance(id)).await {
            Ok(answer) => Ok(answers::reserved_instances(&answer).into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn start(&self, id: &str) -> Called<()> {
        self.call(&calls::start(id)).await.map(drop)
    }

    async fn stop(&self, id: &str, manner: Manner) -> Called<()> {
        self.call(&calls::stop(id, manner)).await.map(drop)
    }

    async fn terminate(&self, ids: &[String]) -> Called<()> {
        self.call(&calls::terminate(ids)).await.map(drop)
    }

    async fn tag(&self, ids: &[String], key: &str, value: &str) -> Called<()> {
        self.call(&calls::tag(ids, key, value)).await.map(drop)
    }

    async fn unprotect(&self, id: &str) -> Called<()> {
        self.call(&calls::unprotect(id)).await.map(drop)
    }

    async fn volumes(&self, filters: &[Filter]) -> Called<Vec<Volume>> {
        self.filtered("DescribeVolumes", filters, answers::volumes).await
    }

    async fn delete_volume(&self, id: &str) -> Called<()> {
        self.call(&calls::delete_volume(id)).await.map(drop)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self { code: String::new(), error }
    }
}

/// A limit in time around a call.
pub(crate) async fn within<T>(
    limit: std::time::Duration,
    what: &str,
    call: impl Future<Output = Called<T>>,
) -> Called<T> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let error = Error::new(Code::TimedOut, format!("{what}: AWS did not answer within {} s", limit.as_secs()));
        Err(CallError { code: String::new(), error })
    })
}
