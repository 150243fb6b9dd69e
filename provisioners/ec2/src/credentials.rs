//! Whose account: AWS's standard chain (environment, profiles, SSO, assumed roles, a container's or an instance's role, a
//! process). Nothing of it is ever kept here.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use machine_core::{Code, Error, Result};
use tokio::sync::Mutex;

use crate::connector::Http;

/// Credentials that end sooner are fetched anew.
const SPARE: Duration = Duration::from_secs(60);
/// How long the chain may take: it may ask a web service or run a program.
const LIMIT: Duration = Duration::from_secs(60);

/// Keys that the user gave in so many words, for one command.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id.
    pub access: String,
    /// The secret key.
    pub secret: String,
    /// The token of a session.
    pub token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Where credentials come from.
pub(crate) struct Wallet {
    config: ProviderConfig,
    region: String,
    profile: Option<String>,
    /// What the chain gave last.
    held: Mutex<Option<Credentials>>,
}

fn config(http: &Http) -> ProviderConfig {
    ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(http.for_sdk())
}

impl Wallet {
    pub(crate) fn new(http: &Http, region: &str, profile: Option<&str>, keys: Option<&Keys>) -> Self {
        let given =
            keys.map(|keys| Credentials::new(&keys.access, &keys.secret, keys.token.clone(), None, "arguments"));
        Self {
            config: config(http),
            region: region.to_owned(),
            profile: profile.map(str::to_owned),
            held: Mutex::new(given),
        }
    }

    /// Credentials that are good for a while.
    pub(crate) async fn credentials(&self) -> Result<Credentials> {
        let mut held = self.held.lock().await;
        if let Some(credentials) = held.as_ref()
            && credentials.expiry().is_none_or(|ends| ends > SystemTime::now() + SPARE)
        {
            return Ok(credentials.clone());
        }
        let region = aws_config::Region::new(self.region.clone());
        let found = async {
            match &self.profile {
                // What is in the environment is somebody else's, perhaps: who names a profile means that one.
                Some(profile) => {
                    let config = self.config.clone().with_region(Some(region));
                    let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile);
                    provider.build().provide_credentials().await
                }
                None => {
                    let chain = DefaultCredentialsChain::builder().configure(self.config.clone()).region(region);
                    chain.build().await.provide_credentials().await
                }
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await.map_err(|_| {
            Error::new(Code::TimedOut, format!("no AWS credentials were found within {} s", LIMIT.as_secs()))
        })?;
        let credentials = found.map_err(|error| none_found(&error, self.profile.as_deref()))?;
        *held = Some(credentials.clone());
        Ok(credentials)
    }
}

fn none_found(error: &aws_credential_types::provider::error::CredentialsError, profile: Option<&str>) -> Error {
    use aws_credential_types::provider::error::CredentialsError;
    let why = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source()).last();
    let why = why.map(ToString::to_string).unwrap_or_default();
    let whose = profile.map(|profile| format!(" of the profile {profile:?}")).unwrap_or_default();
    let error = match error {
        CredentialsError::CredentialsNotLoaded(_) => Error::other(format!("there are no AWS credentials{whose}")),
        _ => Error::other(format!("the AWS credentials{whose} cannot be used: {why}")),
    };
    error
        .hint("`aws configure` or `aws sso login` gives some; or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
}

/// The region that the user's surroundings name: `AWS_REGION`, `AWS_DEFAULT_REGION`, else the profile's.
pub(crate) async fn usual_region(http: &Http, profile: Option<&str>) -> Option<String> {
    let config = config(http);
    let mut of_profile = ProfileFileRegionProvider::builder().configure(&config);
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(of_profile.build());
    chain.region().await.map(|region| region.to_string())
}
