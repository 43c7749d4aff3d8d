"""The configuration: frozen settings with units, validated once, before anything is started.

values.py         kinds of values that settings share
auth_sections.py  the settings of authentication and limits
hook_sections.py  the settings of hooks
storage_sections.py  the settings of likes, comments, their review, and recordings
sections.py       all others: each with its type, unit, default and description
loading.py        reads file, environment and overrides
variables.py      environment variables, and mistyped ones
renames.py        former names of settings
explain.py        error messages for values
hook_checks.py    consistency of settings for hooks
checks.py         consistency of settings
url_checks.py     the form of URLs
auth_checks.py    consistency of settings for authentication
certificates.py   certificates and certificate authorities
comments.py       the description of each setting, from its definition
writing.py        settings as TOML
render.py         a whole TOML file

There are three sources, of which later ones override earlier ones: a TOML file, environment variables
(`LIVESERVER_FRONTEND__LEASE=10s`) and `--set frontend.lease=10s`. Durations are written with their
unit (`"20ms"`, `"15s"`, `"5m"`; a bare number, up to 3600, means seconds), sizes likewise (`"64KiB"`; a bare
number means bytes).
"""

from liveserver.config.auth_sections import AuthSettings as AuthSettings
from liveserver.config.auth_sections import LimitSettings as LimitSettings
from liveserver.config.auth_sections import PublisherSettings as PublisherSettings
from liveserver.config.hook_sections import HookEndpointSettings as HookEndpointSettings
from liveserver.config.hook_sections import HookSettings as HookSettings
from liveserver.config.loading import convert as convert
from liveserver.config.loading import is_secret as is_secret
from liveserver.config.loading import load as load
from liveserver.config.loading import move_secrets as move_secrets
from liveserver.config.loading import read_toml as read_toml
from liveserver.config.sections import BusSettings as BusSettings
from liveserver.config.sections import CanarySettings as CanarySettings
from liveserver.config.sections import DispatcherSettings as DispatcherSettings
from liveserver.config.sections import EdgeSettings as EdgeSettings
from liveserver.config.sections import FrontendSettings as FrontendSettings
from liveserver.config.sections import HistorySettings as HistorySettings
from liveserver.config.sections import ListenSettings as ListenSettings
from liveserver.config.sections import NodeSettings as NodeSettings
from liveserver.config.sections import OpsSettings as OpsSettings
from liveserver.config.sections import PeerSettings as PeerSettings
from liveserver.config.sections import RelaySettings as RelaySettings
from liveserver.config.sections import Settings as Settings
from liveserver.config.sections import TLSSettings as TLSSettings
from liveserver.config.sections import TracingSettings as TracingSettings
from liveserver.config.storage_sections import BackendSettings as BackendSettings
from liveserver.config.storage_sections import LikeSettings as LikeSettings
from liveserver.config.storage_sections import RecorderSettings as RecorderSettings
from liveserver.config.storage_sections import ReviewSettings as ReviewSettings
from liveserver.config.values import Datacenter as Datacenter
from liveserver.config.values import Name as Name
from liveserver.config.values import RoleName as RoleName
from liveserver.config.values import Section as Section
from liveserver.config.values import Videos as Videos
from liveserver.config.variables import ENVIRONMENT_PREFIX as ENVIRONMENT_PREFIX
from liveserver.config.variables import unknown_in as unknown_in
from liveserver.units import Address as Address
from liveserver.units import Duration as Duration
from liveserver.units import Secret as Secret
from liveserver.units import Size as Size
