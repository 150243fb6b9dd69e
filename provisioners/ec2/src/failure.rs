//! What AWS's errors mean, in words that say what to do next.

use machine_core::{Code, Error};

/// What stands around an error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Around<'a> {
    /// What was called, `RunInstances`.
    pub(crate) action: &'a str,
    /// Where.
    pub(crate) region: &'a str,
    /// How far this computer's clock is ahead of the server's, seconds, where that is known.
    pub(crate) ahead: Option<i64>,
    /// What an encoded message says, where it was decoded.
    pub(crate) decoded: Option<&'a str>,
}

/// Beyond this, signatures are not accepted (AWS: five minutes).
const SKEW: i64 = 240;

/// The error of an answer.
pub(crate) fn explain(code: &str, message: &str, around: Around<'_>) -> Error {
    let Around { action, region, ahead, decoded } = around;
    if let Some(ahead) = ahead
        && ahead.abs() > SKEW
        && is_about_signatures(code)
    {
        let (by, way) = (ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" });
        let by = if by < 7200 { format!("{} min", by / 60) } else { format!("{} h", by / 3600) };
        return Error::other(format!("AWS does not accept the request: this computer's clock is {by} {way} Amazon's"))
            .hint("set the clock (time synchronisation in the system's settings), and try again");
    }
    let said = if message.is_empty() { code.to_owned() } else { format!("{message} ({code})") };
    let error = |what: &str| Error::other(format!("{what}: {said}"));
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Client.UnauthorizedOperation" => {
            let what = match decoded {
                Some(decoded) => format!("AWS does not allow {action} to these credentials: {decoded} ({code})"),
                None => {
                    let message = message.split(" Encoded authorization failure message:").next().unwrap_or(message);
                    format!("AWS does not allow {action} to these credentials: {message} ({code})")
                }
            };
            Error::other(what).hint("`machine ec2 policy` prints the IAM policy that is needed; give it to the user or role")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            error("the AWS credentials have expired").hint("get new ones, as `aws sso login` does, and try again")
        }
        "AuthFailure" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch"
        | "InvalidSignatureException" | "IncompleteSignature" | "MissingAuthenticationToken" => {
            error("AWS does not accept the credentials")
                .hint("check the access key and its secret: `aws sts get-caller-identity` tries them")
                .hint(format!("a region that the account has not opted in to ({region}?) refuses them too"))
        }
        "OptInRequired" => error(&format!("the account may not use this in {region} yet"))
            .hint("a new account has to be completed, a newer region to be enabled: in the AWS console, under Account"),
        "Blocked" | "PendingVerification" => {
            error("the AWS account is held up").hint("AWS's mail to the account's owner says why")
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" => {
            error(&format!("the account's quota of instances in {region} is used up"))
                .hint("`machine rm` what is not needed, take a smaller --ec2-instance-type, or another --ec2-region")
                .hint("a higher quota: AWS console, Service Quotas, EC2, \"Running On-Demand Standard\" instances")
        }
        "SecurityGroupLimitExceeded" | "VolumeLimitExceeded" | "MaxIOPSLimitExceeded" | "AddressLimitExceeded"
        | "RulesPerSecurityGroupLimitExceeded" | "ResourceLimitExceeded" | "KeyPairLimitExceeded" => {
            error(&format!("a quota of the account in {region} is used up"))
                .hint("`machine ec2 orphans` shows what was left behind; a higher quota: AWS console, Service Quotas")
        }
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "InsufficientCapacity"
        | "InsufficientFreeAddressesInSubnet" | "SpotMaxPriceTooLow" | "Server.InsufficientInstanceCapacity" => {
            error("AWS has no room for it at this moment").hint(match code {
                "SpotMaxPriceTooLow" => "raise --ec2-spot-price, or leave it out: the price is then the on-demand one at most",
                "InsufficientFreeAddressesInSubnet" => "another subnet has free addresses: --ec2-subnet-id or --ec2-zone",
                _ => "another --ec2-zone, --ec2-instance-type or --ec2-region may have; or try again later",
            })
        }
        "Unsupported" | "UnsupportedOperation" if action == "RunInstances" => {
            error("this combination cannot be launched").hint("another --ec2-zone or --ec2-instance-type may do")
        }
        "UnsupportedOperation" if action == "StopInstances" => error("the instance cannot be stopped")
            .hint("a spot instance that was asked for once cannot; `machine rm` removes it"),
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" => {
            error(&format!("there is no such image in {region}"))
                .hint("ids of images differ between regions: check --ec2-ami and --ec2-region; or name one, as --image ubuntu-24.04")
        }
        "InvalidInstanceType" | "InvalidParameterValue" if message.to_lowercase().contains("instance type") => {
            error(&format!("there is no such type of instance in {region}"))
                .hint("--ec2-instance-type names one, as t3.small (x86) or t4g.small (Graviton)")
        }
        "InvalidSubnetID.NotFound" | "InvalidVpcID.NotFound" | "InvalidGroup.NotFound" | "InvalidKeyPair.NotFound" => {
            error(&format!("it does not exist in {region}"))
                .hint("what belongs to a network or a region exists only there: check --ec2-region, and the profile's account")
        }
        "OperationNotPermitted" if action == "TerminateInstances" => {
            error("the instance is protected from termination").hint("take the protection away in the AWS console")
        }
        code if passes_but_did_not(code) => {
            error("AWS is busy or turns calls away at this rate, and went on doing so").hint("try again in some minutes")
        }
        _ => Error::other(format!("{action} failed: {said}")),
    }
}

fn passes_but_did_not(code: &str) -> bool {
    crate::pace::passes(400, code)
}

/// Whether an error may come from a clock that is off.
fn is_about_signatures(code: &str) -> bool {
    matches!(
        code,
        "RequestExpired"
            | "AuthFailure"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "RequestTimeTooSkewed"
            | "ExpiredToken"
            | "InvalidClientTokenId"
    )
}

/// The error of a call that no answer came to.
pub(crate) fn unanswered(error: &reqwest::Error, action: &str, host: &str) -> Error {
    let why = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    let code = if error.is_timeout() { Code::TimedOut } else { Code::Other };
    Error::new(code, format!("{host} does not answer to {action}: {why}"))
        .hint("check the network, a proxy (HTTPS_PROXY), and the name of the region")
}

/// What a decoded authorization message says: who may not do what, on what, and why.
pub(crate) fn decoded(json: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let context = &value["context"];
    let action = context["action"].as_str()?;
    let resource = context["resource"].as_str().unwrap_or("*");
    let why = match value["explicitDeny"].as_bool() {
        Some(true) => "a policy denies it",
        _ => "no policy allows it",
    };
    let who = context["principal"]["arn"].as_str().map(|arn| format!(" for {arn}")).unwrap_or_default();
    Some(format!("{action} on {resource}{who}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around<'a>(action: &'a str) -> Around<'a> {
        Around { action, region: "eu-central-1", ..Around::default() }
    }

    #[test]
    fn the_errors_that_people_meet_say_what_to_do() {
        let table = [
            (
                "RunInstances",
                "UnauthorizedOperation",
                "You are not authorized to perform this operation. Encoded authorization failure message: AAAA",
            ),
            ("RunInstances", "ExpiredToken", "The security token included in the request is expired"),
            ("DescribeVpcs", "RequestExpired", "Request has expired."),
            ("GetCallerIdentity", "InvalidClientTokenId", "The security token included in the request is invalid"),
            ("DescribeVpcs", "AuthFailure", "AWS was not able to validate the provided access credentials"),
            ("DescribeVpcs", "SignatureDoesNotMatch", "The request signature we calculated does not match"),
            ("DescribeVpcs", "OptInRequired", "You are not subscribed to this service"),
            ("RunInstances", "PendingVerification", "Your account is currently being verified."),
            (
                "RunInstances",
                "VcpuLimitExceeded",
                "You have requested more vCPU capacity than your current vCPU limit of 32",
            ),
            ("RunInstances", "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded"),
            (
                "CreateSecurityGroup",
                "SecurityGroupLimitExceeded",
                "The maximum number of security groups has been reached.",
            ),
            (
                "RunInstances",
                "InsufficientInstanceCapacity",
                "We currently do not have sufficient t3.small capacity in eu-central-1a",
            ),
            ("RunInstances", "SpotMaxPriceTooLow", "Your Spot request price of 0.001 is lower than the minimum"),
            ("RunInstances", "InsufficientFreeAddressesInSubnet", "There are not enough free addresses"),
            (
                "RunInstances",
                "Unsupported",
                "Your requested instance type (t2.micro) is not supported in your requested Availability Zone",
            ),
            ("RunInstances", "InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist"),
            (
                "DescribeInstanceTypes",
                "InvalidInstanceType",
                "The following supplied instance types do not exist: [t9.x]",
            ),
            ("DescribeSubnets", "InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist"),
            ("StopInstances", "UnsupportedOperation", "You can't stop the Spot Instance"),
            ("RunInstances", "RequestLimitExceeded", "Request limit exceeded."),
            ("RunInstances", "SomethingNew", "Nobody knows."),
        ];
        let told: Vec<_> = table
            .iter()
            .map(|(action, code, message)| format!("{:?}", explain(code, message, around(action))))
            .collect();
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn a_clock_that_is_off_is_named_in_place_of_what_it_breaks() {
        let ahead = |seconds| {
            explain("SignatureDoesNotMatch", "Signature expired", Around { ahead: Some(seconds), ..around("X") })
        };
        assert!(ahead(-900).to_string().contains("clock is 15 min behind Amazon's"), "{}", ahead(-900));
        assert!(ahead(86_400 * 2).to_string().contains("48 h ahead of"), "{}", ahead(86_400 * 2));
        assert!(ahead(60).to_string().contains("does not accept the credentials"), "{}", ahead(60));
    }

    #[test]
    fn a_decoded_message_names_the_action_and_the_reason() {
        let json = r#"{"allowed":false,"explicitDeny":true,"context":{"action":"ec2:RunInstances",
            "resource":"arn:aws:ec2:eu-central-1:1:instance/*","principal":{"arn":"arn:aws:iam::1:user/ann"}}}"#;
        let decoded = decoded(json).unwrap();
        assert_eq!(
            decoded,
            "ec2:RunInstances on arn:aws:ec2:eu-central-1:1:instance/* for arn:aws:iam::1:user/ann: a policy denies it"
        );
        let told = explain("UnauthorizedOperation", "x", Around { decoded: Some(&decoded), ..around("RunInstances") });
        assert!(told.to_string().contains("ec2:RunInstances on arn"), "{told}");
        assert_eq!(super::decoded("{}"), None);
    }
}
