"""How the agent is run as a service here: the recipe for this system, with the paths of this very installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SYSTEMD = """\
# 1. as root, put this into /etc/systemd/system/dpl-agent.service
# 2. systemctl daemon-reload && systemctl enable --now dpl-agent
[Unit]
Description=DPL: agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Environment={state}
User={user}
Restart=always
RestartSec=1
RestartPreventExitStatus=2
NoNewPrivileges=true

[Install]
WantedBy=multi-user.target
"""
_LAUNCHD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- 1. put this into ~/Library/LaunchAgents/dpl-agent.plist
     2. launchctl load ~/Library/LaunchAgents/dpl-agent.plist -->
<plist version="1.0">
<dict>
  <key>Label</key><string>dpl-agent</string>
  <key>ProgramArguments</key><array><string>{command}</string></array>
  <key>EnvironmentVariables</key><dict><key>DPL_AGENT_STATE</key><string>{state}</string></dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><true/>
</dict>
</plist>
"""
_WINDOWS = """\
<?xml version="1.0"?>
<!-- 1. put this into dpl-agent.xml
     2. as administrator: schtasks /Create /TN dpl-agent /XML dpl-agent.xml
     3. schtasks /Run /TN dpl-agent -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>{user}</UserId><LogonType>S4U</LogonType></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
  </Settings>
  <Actions Context="Author"><Exec><Command>{command}</Command></Exec></Actions>
</Task>
"""


def recipe(state: Path, system: str = sys.platform) -> str:
    """The service's definition for this system, how to install it being said in its first lines."""
    command = str(_command(system))
    user = os.environ.get("USERNAME" if system == "win32" else "USER") or "root"
    if system == "win32":
        domain = os.environ.get("USERDOMAIN")
        return _WINDOWS.format(
            command=_escaped(command), user=_escaped(f"{domain}\\{user}" if domain else user)
        )
    if system == "darwin":
        return _LAUNCHD.format(command=_escaped(command), state=_escaped(str(state)))
    return _SYSTEMD.format(command=_quoted(command), state=_quoted(f"DPL_AGENT_STATE={state}"), user=user)


def _command(system: str) -> Path:
    """The program that pip put beside the interpreter."""
    return Path(sys.executable).parent / ("dpl-agent.exe" if system == "win32" else "dpl-agent")


def _escaped(text: str) -> str:
    # The standard library's own brings OpenSSL and an e-mail parser along.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
