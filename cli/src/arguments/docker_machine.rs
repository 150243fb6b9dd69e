//! Words of docker-machine that scripts still say and that mean nothing here: taken, with a warning.

use clap::Args;

/// Its global flags.
#[derive(Debug, Args)]
pub struct Foreign {
    #[arg(long, global = true, hide = true)]
    native_ssh: bool,
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    github_api_token: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    bugsnag_api_token: Option<String>,
}

impl Foreign {
    /// What to say of those that were given.
    pub fn warnings(&self) -> Vec<&'static str> {
        let said = [
            (self.native_ssh, "--native-ssh does nothing: SSH is always spoken by this program itself"),
            (self.github_api_token.is_some(), "--github-api-token does nothing: nothing is asked of GitHub"),
            (self.bugsnag_api_token.is_some(), "--bugsnag-api-token does nothing: no crash is reported to anybody"),
        ];
        said.into_iter().filter(|(said, _)| *said).map(|(_, warning)| warning).collect()
    }
}

/// `create`'s flags for the Swarm that came before `docker swarm`.
#[derive(Debug, Args)]
pub struct Swarm {
    #[arg(long, hide = true)]
    swarm: bool,
    #[arg(long, hide = true)]
    swarm_master: bool,
    #[arg(long, hide = true)]
    swarm_experimental: bool,
    #[arg(long, hide = true, value_name = "IMAGE")]
    swarm_image: Option<String>,
    #[arg(long, hide = true, value_name = "URL")]
    swarm_discovery: Option<String>,
    #[arg(long, hide = true, value_name = "NAME")]
    swarm_strategy: Option<String>,
    #[arg(long, hide = true, value_name = "URL")]
    swarm_host: Option<String>,
    #[arg(long, hide = true, value_name = "ADDRESS")]
    swarm_addr: Option<String>,
    #[arg(long, hide = true, value_name = "OPTION")]
    swarm_opt: Vec<String>,
    #[arg(long, hide = true, value_name = "OPTION")]
    swarm_join_opt: Vec<String>,
}

impl Swarm {
    /// What to say, if any of them was given.
    pub fn warning(&self) -> Option<&'static str> {
        let values =
            [&self.swarm_image, &self.swarm_discovery, &self.swarm_strategy, &self.swarm_host, &self.swarm_addr];
        let said = self.swarm
            || self.swarm_master
            || self.swarm_experimental
            || values.iter().any(|value| value.is_some())
            || !self.swarm_opt.is_empty()
            || !self.swarm_join_opt.is_empty();
        said.then_some("the --swarm flags do nothing: that Swarm has ended; `docker swarm init` in the machine makes one of today's")
    }
}
