//! The calls as data: pure, so that each is a snapshot in a test.

use crate::cloud::{Launch, Manner, NewGroup, NewKeyPair, Rule};
use crate::query::{Filter, Query};

/// A service with its own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Sts,
    Ssm,
}

impl Service {
    /// The name in addresses and signatures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Ssm => "ssm",
        }
    }

    /// The version of its Query protocol.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Ec2 => "2016-11-15",
            Self::Sts => "2011-06-15",
            // Speaks JSON; the date is that of its model.
            Self::Ssm => "2014-11-06",
        }
    }
}

/// One call of the Query protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) action: &'static str,
    pub(crate) query: Query,
    /// Errors that pass when it is repeated: what was just made is not known everywhere at once.
    pub(crate) passing: &'static [&'static str],
}

fn ec2(action: &'static str, query: Query) -> Call {
    Call { service: Service::Ec2, action, query, passing: &[] }
}

/// A listing, which is paged.
pub(crate) fn listing(action: &'static str, query: Query) -> Call {
    ec2(action, query.with("MaxResults", "1000"))
}

pub(crate) fn identity() -> Call {
    Call { service: Service::Sts, action: "GetCallerIdentity", query: Query::new(), passing: &[] }
}

pub(crate) fn decode(message: &str) -> Call {
    let query = Query::new().with("EncodedMessage", message);
    Call { service: Service::Sts, action: "DecodeAuthorizationMessage", query, passing: &[] }
}

pub(crate) fn regions() -> Call {
    ec2("DescribeRegions", Query::new())
}

pub(crate) fn image(id: &str) -> Call {
    ec2("DescribeImages", Query::new().list("ImageId", [id]))
}

pub(crate) fn images(owners: &[String], filters: &[Filter]) -> Call {
    listing("DescribeImages", Query::new().list("Owner", owners).filters(filters))
}

pub(crate) fn instance_type(name: &str) -> Call {
    ec2("DescribeInstanceTypes", Query::new().list("InstanceType", [name]))
}

pub(crate) fn zones_of_type(name: &str) -> Call {
    let query = Query::new().with("LocationType", "availability-zone");
    listing("DescribeInstanceTypeOfferings", query.filters(&[Filter::one("instance-type", name)]))
}

pub(crate) fn create_group(group: &NewGroup, dry: bool) -> Call {
    let query = Query::new()
        .with("GroupName", &group.name)
        .with("GroupDescription", &group.description)
        .with("VpcId", &group.vpc)
        .with("TagSpecification.1.ResourceType", "security-group")
        .tags("TagSpecification.1", &group.tags)
        .flag("DryRun", dry);
    ec2("CreateSecurityGroup", query)
}

fn permissions(group: &str, rules: &[Rule]) -> Query {
    let mut query = Query::new().with("GroupId", group);
    for (at, rule) in rules.iter().enumerate() {
        let prefix = format!("IpPermissions.{}", at + 1);
        query = query
            .with(format!("{prefix}.IpProtocol"), &rule.protocol)
            .with(format!("{prefix}.FromPort"), rule.from.to_string())
            .with(format!("{prefix}.ToPort"), rule.to.to_string());
        query = match rule.cidr.contains(':') {
            true => query.with(format!("{prefix}.Ipv6Ranges.1.CidrIpv6"), &rule.cidr),
            false => query.with(format!("{prefix}.IpRanges.1.CidrIp"), &rule.cidr),
        };
    }
    query
}

pub(crate) fn authorize(group: &str, rules: &[Rule]) -> Call {
    let call = ec2("AuthorizeSecurityGroupIngress", permissions(group, rules));
    Call { passing: &["InvalidGroup.NotFound"], ..call }
}

pub(crate) fn revoke(group: &str, rules: &[Rule]) -> Call {
    ec2("RevokeSecurityGroupIngress", permissions(group, rules))
}

pub(crate) fn delete_group(id: &str) -> Call {
    ec2("DeleteSecurityGroup", Query::new().with("GroupId", id))
}

pub(crate) fn import_key_pair(key: &NewKeyPair, dry: bool) -> Call {
    let query = Query::new()
        .with("KeyName", &key.name)
        .with("PublicKeyMaterial", base64(key.public_key.as_bytes()))
        .with("TagSpecification.1.ResourceType", "key-pair")
        .tags("TagSpecification.1", &key.tags)
        .flag("DryRun", dry);
    ec2("ImportKeyPair", query)
}

pub(crate) fn delete_key_pair(name: &str) -> Call {
    ec2("DeleteKeyPair", Query::new().with("KeyName", name))
}

pub(crate) fn run(launch: &Launch, dry: bool) -> Call {
    let call = ec2("RunInstances", launch.0.clone().flag("DryRun", dry));
    // What it names was made a moment ago.
    Call { passing: &["InvalidGroup.NotFound", "InvalidKeyPair.NotFound"], ..call }
}

pub(crate) fn instance(id: &str) -> Call {
    ec2("DescribeInstances", Query::new().list("InstanceId", [id]))
}

pub(crate) fn start(id: &str) -> Call {
    ec2("StartInstances", Query::new().list("InstanceId", [id]))
}

pub(crate) fn stop(id: &str, manner: Manner) -> Call {
    let forced = manner == Manner::Forced;
    let query = Query::new().list("InstanceId", [id]).flag("Force", forced).flag("SkipOsShutdown", forced);
    ec2("StopInstances", query)
}

pub(crate) fn terminate(ids: &[String]) -> Call {
    ec2("TerminateInstances", Query::new().list("InstanceId", ids))
}

pub(crate) fn tag(ids: &[String], key: &str, value: &str) -> Call {
    let query = Query::new().list("ResourceId", ids).with("Tag.1.Key", key).with("Tag.1.Value", value);
    ec2("CreateTags", query)
}

pub(crate) fn unprotect(id: &str) -> Call {
    let query = Query::new().with("InstanceId", id).with("DisableApiTermination.Value", "false");
    ec2("ModifyInstanceAttribute", query)
}

pub(crate) fn delete_volume(id: &str) -> Call {
    ec2("DeleteVolume", Query::new().with("VolumeId", id))
}

/// Standard Base64, as the API wants it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_made_of_these_parameters() {
        let tags = vec![("machine:token".to_owned(), "t1".to_owned())];
        let group = NewGroup { name: "g".into(), description: "d".into(), vpc: "vpc-1".into(), tags: tags.clone() };
        let key = NewKeyPair { name: "k".into(), public_key: "ssh-ed25519 AAAA".into(), tags };
        let rule = |cidr: &str| Rule { protocol: "tcp".into(), from: 22, to: 22, cidr: cidr.into() };
        let rules = [rule("192.0.2.1/32"), rule("2001:db8::1/128")];
        let token = [Filter::one("tag:machine:token", "t1")];
        let calls = [
            identity(),
            decode("AAAA"),
            regions(),
            image("ami-1"),
            images(&["099720109477".into()], &[Filter::one("name", "ubuntu/*")]),
            instance_type("t3.small"),
            zones_of_type("t3.small"),
            listing("DescribeVpcs", Query::new().filters(&token)),
            create_group(&group, true),
            create_group(&group, false),
            authorize("sg-1", &rules),
            revoke("sg-1", &rules[..1]),
            delete_group("sg-1"),
            import_key_pair(&key, false),
            delete_key_pair("k"),
            run(&Launch(Query::new().with("ImageId", "ami-1")), true),
            instance("i-1"),
            start("i-1"),
            stop("i-1", Manner::Graceful),
            stop("i-1", Manner::Forced),
            terminate(&["i-1".into(), "i-2".into()]),
            tag(&["i-1".into(), "i-2".into()], "machine:expires", "2026-11-22T17:00:00Z"),
            unprotect("i-1"),
            delete_volume("vol-1"),
        ];
        let shown = calls.map(|call| {
            let pairs: Vec<_> = call.query.pairs().iter().map(|(name, value)| format!("  {name} = {value}")).collect();
            format!("{} {}\n{}", call.service.name(), call.action, pairs.join("\n"))
        });
        insta::assert_snapshot!(shown.join("\n"));
    }
}
