//! From what was asked for and what was found to what is asked of EC2: pure.

use machine_core::Result;

use crate::calls::base64;
use crate::cloud::{Launch, NewGroup, NewKeyPair, Rule};
use crate::options::{ENGINE_PORT, Ec2Options};
use crate::query::Query;

/// The tags by which what is ours is found again.
pub(crate) mod tag {
    /// The store that knows of it.
    pub(crate) const STORE: &str = "machine:store";
    /// The machine's name.
    pub(crate) const NAME: &str = "machine:name";
    /// One creation of one machine: what carries the same token belongs together.
    pub(crate) const TOKEN: &str = "machine:token";
    /// The user who made it.
    pub(crate) const OWNER: &str = "machine:owner";
    /// When it ends itself.
    pub(crate) const EXPIRES: &str = "machine:expires";
    /// The workshop that it is a host of.
    pub(crate) const FLEET: &str = "machine:fleet";
}

/// Whose a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Belonging<'a> {
    pub(crate) machine: &'a str,
    pub(crate) store: &'a str,
    pub(crate) token: &'a str,
    pub(crate) owner: Option<&'a str>,
    /// RFC 3339.
    pub(crate) expires: Option<String>,
    /// The workshop.
    pub(crate) fleet: Option<&'a str>,
}

/// The tags of everything that is made for a machine.
pub(crate) fn tags(options: &Ec2Options, of: &Belonging<'_>) -> Vec<(String, String)> {
    let ours = [
        (tag::NAME, Some(of.machine)),
        (tag::STORE, Some(of.store)),
        (tag::TOKEN, Some(of.token)),
        (tag::OWNER, of.owner),
        (tag::EXPIRES, of.expires.as_deref()),
        (tag::FLEET, of.fleet),
    ];
    let name = (!options.tags.contains_key("Name")).then(|| ("Name".to_owned(), of.machine.to_owned()));
    let ours = ours.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    let theirs = options.tags.iter().map(|(key, value)| (key.clone(), value.clone()));
    name.into_iter().chain(ours).chain(theirs).collect()
}

/// The name of a machine's security group and key pair: unique, also beside what is left of an earlier machine of that name.
pub(crate) fn own_name(machine: &str, token: &str) -> String {
    format!("machine-{machine}-{}", &token[..token.len().min(8)])
}

pub(crate) fn group(options: &Ec2Options, of: &Belonging<'_>) -> Result<NewGroup> {
    Ok(NewGroup {
        name: own_name(of.machine, of.token),
        description: format!("Docker machine {}", of.machine),
        vpc: options.facts()?.vpc.clone(),
        tags: tags(options, of),
    })
}

pub(crate) fn key_pair(options: &Ec2Options, of: &Belonging<'_>, public_key: &str) -> NewKeyPair {
    NewKeyPair { name: own_name(of.machine, of.token), public_key: public_key.to_owned(), tags: tags(options, of) }
}

/// What a machine's own security group lets in: SSH and the engine from where it is allowed, what was opened from everywhere.
pub(crate) fn rules(options: &Ec2Options, allowed: &[String]) -> Result<Vec<Rule>> {
    let rule = |protocol: &str, from: u16, to: u16, cidr: &str| Rule {
        protocol: protocol.into(),
        from,
        to,
        cidr: cidr.into(),
    };
    let mut rules = Vec::new();
    for cidr in allowed {
        rules.push(rule("tcp", options.ssh_port(), options.ssh_port(), cidr));
        rules.push(rule("tcp", ENGINE_PORT, ENGINE_PORT, cidr));
    }
    for ports in options.ports()? {
        rules.push(rule(ports.protocol, ports.from, ports.to, "0.0.0.0/0"));
        rules.push(rule(ports.protocol, ports.from, ports.to, "::/0"));
    }
    rules.sort();
    rules.dedup();
    Ok(rules)
}

/// What an instance is made of.
pub(crate) struct Wish<'a> {
    pub(crate) options: &'a Ec2Options,
    pub(crate) belonging: &'a Belonging<'a>,
    pub(crate) disk_gib: u64,
    /// None in a dry run, when there is none yet.
    pub(crate) key_name: Option<&'a str>,
    pub(crate) groups: &'a [String],
    pub(crate) user_data: &'a str,
    /// How many instances: all, or as many as there is room for.
    pub(crate) count: usize,
    /// By which a repeated call is known.
    pub(crate) client_token: &'a str,
}

/// The request that makes it.
pub(crate) fn launch(wish: &Wish<'_>) -> Result<Launch> {
    let Wish { options, belonging, .. } = wish;
    let facts = options.facts()?;
    let tags = tags(options, belonging);
    let disk = "BlockDeviceMapping.1";
    let nic = "NetworkInterface.1";
    let mut query = Query::new()
        .with("ImageId", &facts.image)
        .with("InstanceType", options.instance_type.as_deref().unwrap_or(crate::options::USUAL_TYPE))
        .with("MinCount", "1")
        .with("MaxCount", wish.count.to_string())
        .with("ClientToken", wish.client_token)
        .maybe("KeyName", wish.key_name)
        .with("UserData", base64(wish.user_data.as_bytes()))
        .with(format!("{nic}.DeviceIndex"), "0")
        .with(format!("{nic}.SubnetId"), &facts.subnet)
        .with(format!("{nic}.AssociatePublicIpAddress"), if options.private_address_only { "false" } else { "true" })
        .with(format!("{nic}.DeleteOnTermination"), "true")
        .list(&format!("{nic}.SecurityGroupId"), wish.groups)
        .with(format!("{disk}.DeviceName"), options.device_name.as_deref().unwrap_or(&facts.root_device))
        .with(format!("{disk}.Ebs.VolumeSize"), wish.disk_gib.to_string())
        .with(format!("{disk}.Ebs.VolumeType"), options.volume_type.as_deref().unwrap_or("gp3"))
        .with(format!("{disk}.Ebs.Encrypted"), "true")
        .with(format!("{disk}.Ebs.DeleteOnTermination"), "true")
        // IMDSv2 alone. Containers are one hop further away: they get there where a role was given for them to use.
        .with("MetadataOptions.HttpEndpoint", "enabled")
        .with("MetadataOptions.HttpTokens", "required")
        .with("MetadataOptions.HttpPutResponseHopLimit", if options.iam_profile.is_some() { "2" } else { "1" })
        .flag("Monitoring.Enabled", options.monitoring)
        .flag("EbsOptimized", options.ebs_optimized)
        .flag("DisableApiTermination", options.termination_protection)
        .maybe("Placement.GroupName", options.placement_group.as_deref());
    if belonging.expires.is_some() {
        query = query.with("InstanceInitiatedShutdownBehavior", "terminate");
    }
    if let Some(profile) = &options.iam_profile {
        query = query.with(
            if profile.starts_with("arn:") { "IamInstanceProfile.Arn" } else { "IamInstanceProfile.Name" },
            profile,
        );
    }
    let mut tagged = vec!["instance", "volume", "network-interface"];
    if options.spot {
        query = query
            .with("InstanceMarketOptions.MarketType", "spot")
            .with("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time")
            .maybe("InstanceMarketOptions.SpotOptions.MaxPrice", options.spot_price.as_deref());
        tagged.push("spot-instances-request");
    }
    for (at, kind) in tagged.into_iter().enumerate() {
        let prefix = format!("TagSpecification.{}", at + 1);
        query = query.with(format!("{prefix}.ResourceType"), kind).tags(&prefix, &tags);
    }
    Ok(Launch(query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    fn facts() -> Facts {
        Facts {
            account: Some("123456789012".into()),
            image: "ami-1".into(),
            image_name: "ubuntu".into(),
            login: "ubuntu".into(),
            root_device: "/dev/xvda".into(),
            architecture: "x86_64".into(),
            vpc: "vpc-1".into(),
            subnet: "subnet-1".into(),
            zone: "eu-central-1a".into(),
            groups: Vec::new(),
            allowed: vec!["192.0.2.1/32".into()],
        }
    }

    fn belonging() -> Belonging<'static> {
        Belonging {
            machine: "dev",
            store: "s1",
            token: "0123456789abcdef",
            owner: Some("ann"),
            expires: None,
            fleet: None,
        }
    }

    fn shown(options: &Ec2Options, belonging: &Belonging<'_>) -> String {
        let groups = ["sg-1".to_owned()];
        let wish = Wish {
            options,
            belonging,
            disk_gib: 16,
            key_name: Some("k"),
            groups: &groups,
            user_data: "#cloud-config\n",
            count: if belonging.fleet.is_some() { 30 } else { 1 },
            client_token: belonging.token,
        };
        let launch = launch(&wish).unwrap();
        let mut lines: Vec<_> = launch.0.pairs().iter().map(|(name, value)| format!("{name} = {value}")).collect();
        lines.extend(rules(options, &options.facts().unwrap().allowed).unwrap().iter().map(|rule| format!("{rule:?}")));
        lines.join("\n")
    }

    #[test]
    fn a_plain_machine_is_asked_for_so() {
        insta::assert_snapshot!(shown(&Ec2Options { found: Some(facts()), ..Ec2Options::default() }, &belonging()));
    }

    #[test]
    fn everything_that_can_be_said_is_asked_for() {
        let options = Ec2Options {
            instance_type: Some("m7g.large".into()),
            ssh_port: Some(2222),
            open_ports: vec!["80".into(), "8000-8080".into(), "53/udp".into()],
            volume_type: Some("io2".into()),
            device_name: Some("/dev/sda1".into()),
            spot: true,
            spot_price: Some("0.05".into()),
            iam_profile: Some("builder".into()),
            private_address_only: true,
            monitoring: true,
            ebs_optimized: true,
            termination_protection: true,
            placement_group: Some("near".into()),
            tags: [("Name".to_owned(), "mine".to_owned()), ("cost".to_owned(), "42".to_owned())].into(),
            found: Some(facts()),
            ..Ec2Options::default()
        };
        let belonging = Belonging { expires: Some("2026-11-22T17:00:00Z".into()), ..belonging() };
        insta::assert_snapshot!(shown(&options, &belonging));
    }

    #[test]
    fn the_hosts_of_a_workshop_are_asked_for_by_one_call_that_takes_fewer_too() {
        let options = Ec2Options { found: Some(facts()), ..Ec2Options::default() };
        let all = shown(&options, &Belonging { fleet: Some("lab"), ..belonging() });
        assert!(all.contains("MinCount = 1\nMaxCount = 30\nClientToken = 0123456789abcdef\n"), "{all}");
        assert_eq!(all.matches("Key = machine:fleet").count(), 3, "instances, volumes, network interfaces: {all}");
    }

    #[test]
    fn the_group_is_open_to_those_who_are_allowed_and_to_nobody_else() {
        let rules = rules(&Ec2Options::default(), &["192.0.2.1/32".into(), "192.0.2.1/32".into()]).unwrap();
        let shown: Vec<_> = rules.iter().map(|rule| (rule.from, rule.cidr.as_str())).collect();
        assert_eq!(shown, [(22, "192.0.2.1/32"), (2376, "192.0.2.1/32")]);
    }
}
