"""Agent 365: events in the life of an agentic user. All bear the name ``agentLifecycle``; ``valueType`` says
which one it is (api-surface.md, Appendix B)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .base import WireModel
from .inbound import EventActivity


class AgentLifecycleManager(WireModel):
    """The manager of an agentic user."""

    user_id: str | None = None
    email: str | None = None
    display_name: str | None = None


class AgentLifecycleManagerRef(WireModel):
    """The id of an agentic user's manager."""

    manager_id: str | None = None


class AgentLifecycleUpdatedProperty(WireModel):
    """A property of an agentic user, and what it is now."""

    property_name: str = ""
    property_value: str | None = None


class AgentLifecycleValueBase(WireModel):
    """What all these events say: whose they are."""

    event_type: str = ""
    tenant_id: str | None = None
    agentic_user_id: str | None = None
    agentic_app_instance_id: str | None = None
    agent_identity_blueprint_id: str | None = None
    version: int | None = None


class AgenticUserIdentityCreatedValue(AgentLifecycleValueBase):
    """Value of AgenticUserIdentityCreated."""

    event_type: str = "agenticUserIdentityCreated"
    manager: AgentLifecycleManager | None = None
    expiration_date_time: datetime | None = None


class AgenticUserIdentityUpdatedValue(AgentLifecycleValueBase):
    """Value of AgenticUserIdentityUpdated."""

    event_type: str = "agenticUserIdentityUpdated"
    updated_property: AgentLifecycleUpdatedProperty = Field(default_factory=AgentLifecycleUpdatedProperty)


class AgenticUserManagerUpdatedValue(AgentLifecycleValueBase):
    """Value of AgenticUserManagerUpdated."""

    event_type: str = "agenticUserManagerUpdated"
    manager: AgentLifecycleManagerRef | None = None


class AgenticUserEnabledValue(AgentLifecycleValueBase):
    """Value of AgenticUserEnabled."""

    event_type: str = "agenticUserEnabled"


class AgenticUserDisabledValue(AgentLifecycleValueBase):
    """Value of AgenticUserDisabled."""

    event_type: str = "agenticUserDisabled"


class AgenticUserDeletedValue(AgentLifecycleValueBase):
    """Value of AgenticUserDeleted."""

    event_type: str = "agenticUserDeleted"
    deletion_reason: str | None = None


class AgenticUserUndeletedValue(AgentLifecycleValueBase):
    """Value of AgenticUserUndeleted."""

    event_type: str = "agenticUserUndeleted"


class AgenticUserWorkloadOnboardingUpdatedValue(AgentLifecycleValueBase):
    """Value of AgenticUserWorkloadOnboardingUpdated."""

    event_type: str = "agenticUserWorkloadOnboardingUpdated"
    workload_name: str | None = None
    workload_onboarding_state: str | None = None


class AgentLifecycleEventActivityBase(EventActivity):
    """An event in the life of an agentic user; of this class itself where its ``value_type`` is not known."""

    name: str | None = "agentLifecycle"
    value_type: str | None = None
    value: Any = None


AgentLifecycleEventActivity = AgentLifecycleEventActivityBase
"""Any of these events, to ask with isinstance()."""


class AgenticUserIdentityCreatedActivity(AgentLifecycleEventActivityBase):
    """An agentic user was made."""

    value_type: str | None = "AgenticUserIdentityCreated"
    value: AgenticUserIdentityCreatedValue = Field(default_factory=AgenticUserIdentityCreatedValue)


class AgenticUserIdentityUpdatedActivity(AgentLifecycleEventActivityBase):
    """A property of an agentic user changed."""

    value_type: str | None = "AgenticUserIdentityUpdated"
    value: AgenticUserIdentityUpdatedValue = Field(default_factory=AgenticUserIdentityUpdatedValue)


class AgenticUserManagerUpdatedActivity(AgentLifecycleEventActivityBase):
    """An agentic user has another manager."""

    value_type: str | None = "AgenticUserManagerUpdated"
    value: AgenticUserManagerUpdatedValue = Field(default_factory=AgenticUserManagerUpdatedValue)


class AgenticUserEnabledActivity(AgentLifecycleEventActivityBase):
    """An agentic user was enabled."""

    value_type: str | None = "AgenticUserEnabled"
    value: AgenticUserEnabledValue = Field(default_factory=AgenticUserEnabledValue)


class AgenticUserDisabledActivity(AgentLifecycleEventActivityBase):
    """An agentic user was disabled."""

    value_type: str | None = "AgenticUserDisabled"
    value: AgenticUserDisabledValue = Field(default_factory=AgenticUserDisabledValue)


class AgenticUserDeletedActivity(AgentLifecycleEventActivityBase):
    """An agentic user was deleted."""

    value_type: str | None = "AgenticUserDeleted"
    value: AgenticUserDeletedValue = Field(default_factory=AgenticUserDeletedValue)


class AgenticUserUndeletedActivity(AgentLifecycleEventActivityBase):
    """A deleted agentic user is back."""

    value_type: str | None = "AgenticUserUndeleted"
    value: AgenticUserUndeletedValue = Field(default_factory=AgenticUserUndeletedValue)


class AgenticUserWorkloadOnboardingUpdatedActivity(AgentLifecycleEventActivityBase):
    """A workload of an agentic user, such as Teams or Outlook, got on with its set-up."""

    value_type: str | None = "AgenticUserWorkloadOnboardingUpdated"
    value: AgenticUserWorkloadOnboardingUpdatedValue = Field(
        default_factory=AgenticUserWorkloadOnboardingUpdatedValue
    )
