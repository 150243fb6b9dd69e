//! What answers say, in our types. What an answer leaves out is empty: no answer is trusted to be complete.

use std::collections::BTreeMap;

use crate::cloud::{Group, Image, Instance, InstanceType, KeyPair, Rule, Subnet, Volume, Vpc};
use crate::xml::Element;

fn number<T: std::str::FromStr + Default>(element: &Element, path: &[&str]) -> T {
    element.text(path).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn is_true(element: &Element, path: &[&str]) -> bool {
    element.text(path).is_some_and(|text| text == "true")
}

fn tags(element: &Element) -> BTreeMap<String, String> {
    element.items(&["tagSet"]).map(|tag| (tag.text_or_empty(&["key"]), tag.text_or_empty(&["value"]))).collect()
}

fn texts(element: &Element, path: &[&str]) -> Vec<String> {
    element.items(path).map(|item| item.own_text().to_owned()).collect()
}

pub(crate) fn images(answer: &Element) -> Vec<Image> {
    let image = |item: &Element| {
        let root_device = item.text_or_empty(&["rootDeviceName"]);
        let root = item.items(&["blockDeviceMapping"]).find(|disk| disk.text_or_empty(&["deviceName"]) == root_device);
        Image {
            id: item.text_or_empty(&["imageId"]),
            name: item.text_or_empty(&["name"]),
            owner: item.text_or_empty(&["imageOwnerId"]),
            architecture: item.text_or_empty(&["architecture"]),
            state: item.text_or_empty(&["imageState"]),
            root_gib: root.map(|disk| number(disk, &["ebs", "volumeSize"])).unwrap_or_default(),
            root_device,
            created: item.text_or_empty(&["creationDate"]),
            platform: item.text_or_empty(&["platform"]),
        }
    };
    answer.items(&["imagesSet"]).map(image).collect()
}

pub(crate) fn instance_types(answer: &Element) -> Vec<InstanceType> {
    let kind = |item: &Element| InstanceType {
        name: item.text_or_empty(&["instanceType"]),
        architectures: texts(item, &["processorInfo", "supportedArchitectures"]),
        cpus: number(item, &["vCpuInfo", "defaultVCpus"]),
        memory_mib: number(item, &["memoryInfo", "sizeInMiB"]),
        usage: texts(item, &["supportedUsageClasses"]),
    };
    answer.items(&["instanceTypeSet"]).map(kind).collect()
}

pub(crate) fn zones(answer: &Element) -> Vec<String> {
    answer.items(&["instanceTypeOfferingSet"]).map(|item| item.text_or_empty(&["location"])).collect()
}

pub(crate) fn regions(answer: &Element) -> Vec<String> {
    answer.items(&["regionInfo"]).map(|item| item.text_or_empty(&["regionName"])).collect()
}

pub(crate) fn vpcs(answer: &Element) -> Vec<Vpc> {
    let vpc = |item: &Element| Vpc { id: item.text_or_empty(&["vpcId"]) };
    answer.items(&["vpcSet"]).map(vpc).collect()
}

pub(crate) fn subnets(answer: &Element) -> Vec<Subnet> {
    let subnet = |item: &Element| Subnet {
        id: item.text_or_empty(&["subnetId"]),
        vpc: item.text_or_empty(&["vpcId"]),
        zone: item.text_or_empty(&["availabilityZone"]),
        is_default: is_true(item, &["defaultForAz"]),
        public: is_true(item, &["mapPublicIpOnLaunch"]),
        free: number(item, &["availableIpAddressCount"]),
        cidr: item.text_or_empty(&["cidrBlock"]),
    };
    answer.items(&["subnetSet"]).map(subnet).collect()
}

pub(crate) fn groups(answer: &Element) -> Vec<Group> {
    let group = |item: &Element| Group {
        id: item.text_or_empty(&["groupId"]),
        name: item.text_or_empty(&["groupName"]),
        vpc: item.text_or_empty(&["vpcId"]),
        rules: item.items(&["ipPermissions"]).flat_map(rules).collect(),
        tags: tags(item),
    };
    answer.items(&["securityGroupInfo"]).map(group).collect()
}

fn rules(permission: &Element) -> Vec<Rule> {
    let rule = |cidr: String| Rule {
        protocol: permission.text_or_empty(&["ipProtocol"]),
        from: number(permission, &["fromPort"]),
        to: number(permission, &["toPort"]),
        cidr,
    };
    let of = |list: &'static str, cidr: &'static str| -> Vec<String> {
        permission.items(&[list]).map(|range| range.text_or_empty(&[cidr])).collect()
    };
    of("ipRanges", "cidrIp").into_iter().chain(of("ipv6Ranges", "cidrIpv6")).map(rule).collect()
}

pub(crate) fn key_pairs(answer: &Element) -> Vec<KeyPair> {
    let key = |item: &Element| KeyPair { name: item.text_or_empty(&["keyName"]), tags: tags(item) };
    answer.items(&["keySet"]).map(key).collect()
}

pub(crate) fn volumes(answer: &Element) -> Vec<Volume> {
    let volume = |item: &Element| Volume {
        id: item.text_or_empty(&["volumeId"]),
        state: item.text_or_empty(&["status"]),
        tags: tags(item),
    };
    answer.items(&["volumeSet"]).map(volume).collect()
}

/// Those of `DescribeInstances`.
pub(crate) fn reserved_instances(answer: &Element) -> Vec<Instance> {
    answer.items(&["reservationSet"]).flat_map(instances).collect()
}

/// Those of one reservation, which is what `RunInstances` answers.
pub(crate) fn instances(reservation: &Element) -> Vec<Instance> {
    let instance = |item: &Element| {
        let reason = item.text(&["stateReason", "message"]).or_else(|| item.text(&["reason"]));
        let address = |name: &str| item.text(&[name]).and_then(|text| text.parse().ok());
        Instance {
            id: item.text_or_empty(&["instanceId"]),
            state: item.text_or_empty(&["instanceState", "name"]),
            reason: reason.unwrap_or_default(),
            public: address("ipAddress").or_else(|| address("ipv6Address")),
            private: address("privateIpAddress"),
            tags: tags(item),
        }
    };
    reservation.items(&["instancesSet"]).map(instance).collect()
}

/// The code and message of an answer that is an error: EC2's form, or STS's.
pub(crate) fn fault(answer: &Element) -> Option<(String, String)> {
    let error = answer.at(&["Errors", "Error"]).or_else(|| answer.at(&["Error"]))?;
    Some((error.text(&["Code"])?, error.text_or_empty(&["Message"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_read_with_its_addresses_reason_and_tags() {
        let answer = Element::parse(
            br#"<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>
            <instanceState><code>48</code><name>terminated</name></instanceState><reason>User initiated</reason>
            <stateReason><code>Client.InstanceInitiatedShutdown</code><message>Instance initiated shutdown</message></stateReason>
            <instanceType>t3.small</instanceType><ipAddress>192.0.2.7</ipAddress><privateIpAddress>10.0.0.7</privateIpAddress>
            <tagSet><item><key>Name</key><value>dev</value></item></tagSet></item></instancesSet></item></reservationSet>
            </DescribeInstancesResponse>"#,
        )
        .unwrap();
        let found = reserved_instances(&answer);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.as_str(), found[0].is_gone()), ("i-1", true));
        assert_eq!(found[0].reason, "Instance initiated shutdown");
        assert_eq!(found[0].public.unwrap().to_string(), "192.0.2.7");
        assert_eq!(found[0].tags["Name"], "dev");
    }

    #[test]
    fn rules_of_both_families_are_read_one_by_one() {
        let answer = Element::parse(
            br#"<r><securityGroupInfo><item><groupId>sg-1</groupId><ipPermissions><item><ipProtocol>tcp</ipProtocol>
            <fromPort>22</fromPort><toPort>22</toPort><ipRanges><item><cidrIp>192.0.2.1/32</cidrIp></item></ipRanges>
            <ipv6Ranges><item><cidrIpv6>2001:db8::/64</cidrIpv6></item></ipv6Ranges></item></ipPermissions></item>
            </securityGroupInfo></r>"#,
        )
        .unwrap();
        let rules = &groups(&answer)[0].rules;
        let cidrs: Vec<_> = rules.iter().map(|rule| (rule.from, rule.cidr.as_str())).collect();
        assert_eq!(cidrs, [(22, "192.0.2.1/32"), (22, "2001:db8::/64")]);
    }

    #[test]
    fn errors_are_read_in_both_forms() {
        for text in [
            "<Response><Errors><Error><Code>C</Code><Message>m</Message></Error></Errors></Response>",
            "<ErrorResponse><Error><Type>Sender</Type><Code>C</Code><Message>m</Message></Error></ErrorResponse>",
        ] {
            assert_eq!(fault(&Element::parse(text.as_bytes()).unwrap()), Some(("C".into(), "m".into())));
        }
    }
}
