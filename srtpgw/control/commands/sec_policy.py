"""sec_policy: the security policy that judges registrations and extensions (spec 4)."""

from __future__ import annotations

from typing import Final

from srtpgw.control.codes import configured
from srtpgw.control.commands.table import Action, Command, Option, Outcome, Request, not_executed
from srtpgw.control.commands.wording import counted
from srtpgw.control.license import LICENSE_MISSING, VOIP_SECURITY, allows, notices
from srtpgw.control.model import PolicyNumber, Put, Remove, SecurityPolicy
from srtpgw.control.numbers import lines_of, listed
from srtpgw.control.policy import EXCEPTIONS_EXIST, NO_CODE_WARNING, POLICY_NAMES, PolicyChange, policy_change

_NUMBERS: Final[dict[str, PolicyNumber]] = {str(number): number for number in POLICY_NAMES if number is not None}

COMMANDS: Final = (
    Command(
        name="sec_policy",
        summary="Set, remove or show the security policy.",
        actions=(
            Action(
                key="set",
                effect="sec_policy:set_policy",
                summary="Set it, for logons from now on.",
                chosen_by=Option(
                    key="set",
                    names=("-set", "--set"),
                    metavar="N",
                    choices=tuple(_NUMBERS),
                    read=_NUMBERS.__getitem__,
                    help=", ".join(f"{text}: {POLICY_NAMES[number]}" for text, number in _NUMBERS.items()) + ".",
                ),
            ),
            Action(
                key="remove",
                effect="sec_policy:remove",
                summary="Have no policy: every terminal may log on.",
                chosen_by=Option(key="remove", names=("-remove", "--remove"), kind="flag", help="Remove the policy."),
            ),
            Action(
                key="print",
                effect="sec_policy:show",
                summary="Show it.",
                chosen_by=Option(key="print", names=("-print", "--print"), kind="flag", help="Show the policy."),
                changes=False,
            ),
        ),
        texts=(
            (LICENSE_MISSING, "behind NOT EXECUTED: no valid licence gives the feature (license_print)"),
            (EXCEPTIONS_EXIST, "behind NOT EXECUTED: policies 1 and 3 take no security exception; the numbers follow"),
        ),
        examples=("sec_policy -set 1", "sec_policy -print", "sec_policy -remove"),
    ),
)  # fmt: skip


def set_policy(request: Request) -> Outcome:
    """sec_policy -set."""
    if not allows(request.state, VOIP_SECURITY, now=request.now, host=request.host):
        return not_executed(LICENSE_MISSING)
    wanted: PolicyNumber = request.options["set"]
    state = request.state
    met = policy_change(wanted, state.extensions.values(), configured(state))
    if met.refusal:
        return not_executed(met.refusal, *lines_of(met.excepted))
    changed = state.policy != wanted
    name = POLICY_NAMES[wanted]
    told = f"Security policy {wanted} ({name}) is set{'.' if changed else ' already; nothing is changed.'}"
    return Outcome(
        lines=(told,),
        value={"policy": wanted, "name": name, "changed": changed, "without_rac": list(met.without_code)},
        warnings=_warnings(request, wanted, met),
        changes=(Put(SecurityPolicy(wanted)),) if changed else (),
    )


def remove(request: Request) -> Outcome:
    """sec_policy -remove. Needs no licence: what ended must not hold anybody in it."""
    if request.state.policy is None:
        line = "No security policy is set; nothing is changed."
        return Outcome(lines=(line,), value={"policy": None, "changed": False})
    return Outcome(
        lines=("The security policy is removed: every terminal may log on.",),
        value={"policy": None, "changed": True},
        changes=(Remove(SecurityPolicy, SecurityPolicy(request.state.policy).id),),
    )


def show(request: Request) -> Outcome:
    """sec_policy -print."""
    policy = request.state.policy
    name = POLICY_NAMES[policy]
    line = f"Security policy: {name if policy is None else f'{policy} ({name})'}"
    return Outcome(lines=(line,), value={"policy": policy, "name": None if policy is None else name})


def _warnings(request: Request, wanted: PolicyNumber, met: PolicyChange) -> tuple[str, ...]:
    """What an operator would else find out from telephones that do not work."""
    state = request.state
    warnings = list(notices(state, VOIP_SECURITY, now=request.now, host=request.host))
    if met.without_code:
        warnings.append(f"{listed(met.without_code)} {NO_CODE_WARNING}")
    older = sum(each.live(request.now) and each.policy != wanted for each in state.registrations.values())
    if older:
        warnings.append(
            f"{counted(older, 'terminal')} logged on before this policy and may stay so"
            " (extension_unregistration -d all ends that)"
        )
    if not any(each.role == "server" for each in state.certificates.values()):
        warnings.append("no server certificate is installed, so no terminal can log on over TLS (certificate_install)")
    if not state.media_encryption.get("extension", False):
        warnings.append(
            "the media of extensions is not encrypted (media_encryption_enable -type extension): a policy is about"
            " logging on"
        )
    return tuple(warnings)
