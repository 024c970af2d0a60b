"""Teams wire models, clouds and the Bot Connector REST client.

Every name is imported when it is first used: the whole surface takes long to import, and a bot uses little of
it. To add a name, import it under TYPE_CHECKING, for type checkers, and put it into the table, for Python. A
test compares the two.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .clients.aiohttp_transport import (
        AiohttpTransport as AiohttpTransport,
    )
    from .clients.api_client import (
        ApiClient as ApiClient,
        Token as Token,
        TokenSource as TokenSource,
        encode_json as encode_json,
    )
    from .clients.bots import (
        BotClient as BotClient,
        BotSignInClient as BotSignInClient,
        BotTokenClient as BotTokenClient,
        GetBotSignInResourceParams as GetBotSignInResourceParams,
        GetBotSignInUrlParams as GetBotSignInUrlParams,
        GetBotTokenResponse as GetBotTokenResponse,
    )
    from .clients.conversations import (
        ConversationClient as ConversationClient,
        MessageReactionType as MessageReactionType,
    )
    from .clients.grouped import (
        ActivityOperations as ActivityOperations,
        ConversationActivityClient as ConversationActivityClient,
        ConversationMemberClient as ConversationMemberClient,
        MemberOperations as MemberOperations,
        ReactionClient as ReactionClient,
    )
    from .clients.meetings import (
        MeetingClient as MeetingClient,
    )
    from .clients.retry import (
        DEFAULT_RETRY as DEFAULT_RETRY,
        NO_RETRY as NO_RETRY,
        RetryPolicy as RetryPolicy,
        RetryRule as RetryRule,
    )
    from .clients.settings import (
        ApiClientSettings as ApiClientSettings,
        merge_api_client_settings as merge_api_client_settings,
    )
    from .clients.teams import (
        TeamClient as TeamClient,
    )
    from .clients.transport import (
        HandlerTransport as HandlerTransport,
        Request as Request,
        Response as Response,
        Transport as Transport,
    )
    from .clients.users import (
        ExchangeUserTokenParams as ExchangeUserTokenParams,
        GetUserAADTokenParams as GetUserAADTokenParams,
        GetUserTokenParams as GetUserTokenParams,
        GetUserTokenStatusParams as GetUserTokenStatusParams,
        SignOutUserParams as SignOutUserParams,
        UserClient as UserClient,
        UserTokenClient as UserTokenClient,
    )
    from .clouds import (
        CHINA as CHINA,
        PUBLIC as PUBLIC,
        US_GOV as US_GOV,
        US_GOV_DOD as US_GOV_DOD,
        CloudEnvironment as CloudEnvironment,
        config_from_cloud_name as config_from_cloud_name,
        from_name as from_name,
        with_overrides as with_overrides,
    )
    from .errors import (
        ApiError as ApiError,
        BadRequestError as BadRequestError,
        CadenzaError as CadenzaError,
        ConnectError as ConnectError,
        ConnectionLostError as ConnectionLostError,
        ForbiddenError as ForbiddenError,
        HttpStatusError as HttpStatusError,
        InvalidActivityError as InvalidActivityError,
        InvalidResponseError as InvalidResponseError,
        MessageTooLargeError as MessageTooLargeError,
        NotFoundError as NotFoundError,
        PreconditionFailedError as PreconditionFailedError,
        RequestTimeoutError as RequestTimeoutError,
        ServerError as ServerError,
        ThrottledError as ThrottledError,
        TransportError as TransportError,
        UnauthorizedError as UnauthorizedError,
        UntrustedHostError as UntrustedHostError,
        service_error as service_error,
        status_error as status_error,
    )
    from .models.account import (
        Account as Account,
        AccountType as AccountType,
        CallerIds as CallerIds,
        CallerType as CallerType,
        ChannelID as ChannelID,
        ConversationAccount as ConversationAccount,
        ConversationType as ConversationType,
        TeamsChannelAccount as TeamsChannelAccount,
    )
    from .models.activity import (
        Activity as Activity,
        ActivityBase as ActivityBase,
        ActivityInput as ActivityInput,
        ActivityInputBase as ActivityInputBase,
    )
    from .models.adaptive_card import (
        AdaptiveCardActionCardResponse as AdaptiveCardActionCardResponse,
        AdaptiveCardActionErrorResponse as AdaptiveCardActionErrorResponse,
        AdaptiveCardActionIncorrectAuthCodeResponse as AdaptiveCardActionIncorrectAuthCodeResponse,
        AdaptiveCardActionLoginResponse as AdaptiveCardActionLoginResponse,
        AdaptiveCardActionMessageResponse as AdaptiveCardActionMessageResponse,
        AdaptiveCardActionPreconditionFailedResponse as AdaptiveCardActionPreconditionFailedResponse,
        AdaptiveCardActionResponse as AdaptiveCardActionResponse,
        AdaptiveCardAuthentication as AdaptiveCardAuthentication,
        AdaptiveCardInvokeAction as AdaptiveCardInvokeAction,
        AdaptiveCardInvokeResponse as AdaptiveCardInvokeResponse,
        AdaptiveCardInvokeValue as AdaptiveCardInvokeValue,
    )
    from .models.agent_lifecycle import (
        AgenticUserDeletedActivity as AgenticUserDeletedActivity,
        AgenticUserDeletedValue as AgenticUserDeletedValue,
        AgenticUserDisabledActivity as AgenticUserDisabledActivity,
        AgenticUserDisabledValue as AgenticUserDisabledValue,
        AgenticUserEnabledActivity as AgenticUserEnabledActivity,
        AgenticUserEnabledValue as AgenticUserEnabledValue,
        AgenticUserIdentityCreatedActivity as AgenticUserIdentityCreatedActivity,
        AgenticUserIdentityCreatedValue as AgenticUserIdentityCreatedValue,
        AgenticUserIdentityUpdatedActivity as AgenticUserIdentityUpdatedActivity,
        AgenticUserIdentityUpdatedValue as AgenticUserIdentityUpdatedValue,
        AgenticUserManagerUpdatedActivity as AgenticUserManagerUpdatedActivity,
        AgenticUserManagerUpdatedValue as AgenticUserManagerUpdatedValue,
        AgenticUserUndeletedActivity as AgenticUserUndeletedActivity,
        AgenticUserUndeletedValue as AgenticUserUndeletedValue,
        AgenticUserWorkloadOnboardingUpdatedActivity as AgenticUserWorkloadOnboardingUpdatedActivity,
        AgenticUserWorkloadOnboardingUpdatedValue as AgenticUserWorkloadOnboardingUpdatedValue,
        AgentLifecycleEventActivity as AgentLifecycleEventActivity,
        AgentLifecycleEventActivityBase as AgentLifecycleEventActivityBase,
        AgentLifecycleManager as AgentLifecycleManager,
        AgentLifecycleManagerRef as AgentLifecycleManagerRef,
        AgentLifecycleUpdatedProperty as AgentLifecycleUpdatedProperty,
        AgentLifecycleValueBase as AgentLifecycleValueBase,
    )
    from .models.agentic_identity import (
        AGENTIC_IDENTITY_CLEAR as AGENTIC_IDENTITY_CLEAR,
        AgenticIdentity as AgenticIdentity,
        AgenticIdentityClear as AgenticIdentityClear,
        AgenticIdentityScope as AgenticIdentityScope,
    )
    from .models.app_based_link_query import (
        AppBasedLinkQuery as AppBasedLinkQuery,
    )
    from .models.attachment import (
        ADAPTIVE_CARD as ADAPTIVE_CARD,
        Attachment as Attachment,
        Card as Card,
        CardAction as CardAction,
        CardActionType as CardActionType,
        CardAttachmentData as CardAttachmentData,
        CardLike as CardLike,
        SuggestedActions as SuggestedActions,
        card_attachment as card_attachment,
        card_content as card_content,
    )
    from .models.base import (
        CustomBaseModel as CustomBaseModel,
        WireModel as WireModel,
    )
    from .models.cache_info import (
        CacheInfo as CacheInfo,
    )
    from .models.card_attachments import (
        AdaptiveCardAttachment as AdaptiveCardAttachment,
        AnimationCardAttachment as AnimationCardAttachment,
        AudioCardAttachment as AudioCardAttachment,
        CardAttachment as CardAttachment,
        CardAttachmentType as CardAttachmentType,
        CardAttachmentTypes as CardAttachmentTypes,
        HeroCardAttachment as HeroCardAttachment,
        OAuthCardAttachment as OAuthCardAttachment,
        SigninCardAttachment as SigninCardAttachment,
        ThumbnailCardAttachment as ThumbnailCardAttachment,
        VideoCardAttachment as VideoCardAttachment,
    )
    from .models.cards import (
        AnimationCard as AnimationCard,
        AudioCard as AudioCard,
        BasicCard as BasicCard,
        CardImage as CardImage,
        HeroCard as HeroCard,
        MediaCard as MediaCard,
        MediaUrl as MediaUrl,
        OAuthCard as OAuthCard,
        SignInCard as SignInCard,
        ThumbnailCard as ThumbnailCard,
        ThumbnailUrl as ThumbnailUrl,
        VideoCard as VideoCard,
    )
    from .models.channel_data import (
        AppInfo as AppInfo,
        ChannelData as ChannelData,
        ChannelDataSettings as ChannelDataSettings,
        ChannelInfo as ChannelInfo,
        FeedbackLoop as FeedbackLoop,
        MeetingReference as MeetingReference,
        NotificationInfo as NotificationInfo,
        TeamInfo as TeamInfo,
        TenantInfo as TenantInfo,
    )
    from .models.config import (
        ConfigAuth as ConfigAuth,
        ConfigInvokeResponse as ConfigInvokeResponse,
        ConfigResponse as ConfigResponse,
    )
    from .models.conversation import (
        Conversation as Conversation,
        ConversationReference as ConversationReference,
        ConversationResource as ConversationResource,
        CreateConversationParams as CreateConversationParams,
        PagedMembersResult as PagedMembersResult,
    )
    from .models.credentials import (
        AgenticAppTokenProviderProtocol as AgenticAppTokenProviderProtocol,
        AgenticUserTokenProviderProtocol as AgenticUserTokenProviderProtocol,
        BasicTokenProvider as BasicTokenProvider,
        CertificateCredentials as CertificateCredentials,
        ClientCredentials as ClientCredentials,
        Credentials as Credentials,
        FederatedIdentityCredentials as FederatedIdentityCredentials,
        ManagedIdentityCredentials as ManagedIdentityCredentials,
        TokenCredentials as TokenCredentials,
        TokenProvider as TokenProvider,
        TokenProviderProtocol as TokenProviderProtocol,
        TokenResult as TokenResult,
        TokenValue as TokenValue,
    )
    from .models.entity import (
        AIMessageEntity as AIMessageEntity,
        Appearance as Appearance,
        CitationAppearance as CitationAppearance,
        CitationEntity as CitationEntity,
        CitationIconName as CitationIconName,
        CitationImage as CitationImage,
        CitationUsageInfo as CitationUsageInfo,
        Claim as Claim,
        ClientInfoEntity as ClientInfoEntity,
        Entity as Entity,
        EntityBase as EntityBase,
        Image as Image,
        MentionEntity as MentionEntity,
        MessageEntity as MessageEntity,
        ProductInfoEntity as ProductInfoEntity,
        QuotedReplyData as QuotedReplyData,
        QuotedReplyEntity as QuotedReplyEntity,
        SensitiveUsage as SensitiveUsage,
        SensitiveUsageEntity as SensitiveUsageEntity,
        SensitiveUsagePattern as SensitiveUsagePattern,
        StreamInfoEntity as StreamInfoEntity,
        TargetedMessageInfoEntity as TargetedMessageInfoEntity,
        UnknownEntity as UnknownEntity,
    )
    from .models.error import (
        ErrorResponse as ErrorResponse,
        HttpError as HttpError,
        InnerHttpError as InnerHttpError,
    )
    from .models.events import (
        MeetingEndEventActivity as MeetingEndEventActivity,
        MeetingEndEventValue as MeetingEndEventValue,
        MeetingEventParticipant as MeetingEventParticipant,
        MeetingParticipantEventActivity as MeetingParticipantEventActivity,
        MeetingParticipantEventValue as MeetingParticipantEventValue,
        MeetingParticipantInfo as MeetingParticipantInfo,
        MeetingParticipantJoinEventActivity as MeetingParticipantJoinEventActivity,
        MeetingParticipantLeaveEventActivity as MeetingParticipantLeaveEventActivity,
        MeetingStartEventActivity as MeetingStartEventActivity,
        MeetingStartEventValue as MeetingStartEventValue,
        ReadReceiptEventActivity as ReadReceiptEventActivity,
    )
    from .models.file import (
        FILE_CONSENT_CARD_CONTENT_TYPE as FILE_CONSENT_CARD_CONTENT_TYPE,
        FILE_DOWNLOAD_INFO_CONTENT_TYPE as FILE_DOWNLOAD_INFO_CONTENT_TYPE,
        FILE_INFO_CARD_CONTENT_TYPE as FILE_INFO_CARD_CONTENT_TYPE,
        Action as Action,
        FileConsentCard as FileConsentCard,
        FileConsentCardResponse as FileConsentCardResponse,
        FileDownloadInfo as FileDownloadInfo,
        FileInfoCard as FileInfoCard,
        FileUploadInfo as FileUploadInfo,
    )
    from .models.html_widget import (
        CallToolRequest as CallToolRequest,
        HtmlWidgetCallToolResponse as HtmlWidgetCallToolResponse,
        HtmlWidgetPayload as HtmlWidgetPayload,
        HtmlWidgetPermissions as HtmlWidgetPermissions,
        HtmlWidgetSecurityPolicy as HtmlWidgetSecurityPolicy,
        McpUiAudioContent as McpUiAudioContent,
        McpUiCallToolResult as McpUiCallToolResult,
        McpUiCallToolResultContent as McpUiCallToolResultContent,
        McpUiContentBlock as McpUiContentBlock,
        McpUiImageContent as McpUiImageContent,
        McpUiResourceContent as McpUiResourceContent,
        McpUiTextContent as McpUiTextContent,
        McpUiUpdateModelContextParams as McpUiUpdateModelContextParams,
        McpUiUpdateModelContextRequest as McpUiUpdateModelContextRequest,
    )
    from .models.inbound import (
        ActivityTypeAdapter as ActivityTypeAdapter,
        CommandResultActivity as CommandResultActivity,
        CommandResultValue as CommandResultValue,
        CommandSendActivity as CommandSendActivity,
        CommandSendValue as CommandSendValue,
        ConversationActivity as ConversationActivity,
        ConversationChannelData as ConversationChannelData,
        ConversationEventType as ConversationEventType,
        ConversationUpdateActivity as ConversationUpdateActivity,
        EndOfConversationActivity as EndOfConversationActivity,
        EventActivity as EventActivity,
        HandoffActivity as HandoffActivity,
        InstallationUpdateActivity as InstallationUpdateActivity,
        InstalledActivity as InstalledActivity,
        InstalledUpgradeActivity as InstalledUpgradeActivity,
        InstallUpdateActivity as InstallUpdateActivity,
        InvokeActivity as InvokeActivity,
        MessageDeleteActivity as MessageDeleteActivity,
        MessageDeleteChannelData as MessageDeleteChannelData,
        MessageEventType as MessageEventType,
        MessageReactionActivity as MessageReactionActivity,
        MessageReactionActivityInput as MessageReactionActivityInput,
        MessageUpdateActivity as MessageUpdateActivity,
        MessageUpdateChannelData as MessageUpdateChannelData,
        TraceActivity as TraceActivity,
        UninstalledActivity as UninstalledActivity,
        UnknownActivity as UnknownActivity,
        UnknownInvoke as UnknownInvoke,
        parse_activity as parse_activity,
    )
    from .models.invoke_response import (
        InvokeResponse as InvokeResponse,
        InvokeResponseBody as InvokeResponseBody,
        VoidInvokeResponse as VoidInvokeResponse,
        is_invoke_response as is_invoke_response,
    )
    from .models.invokes import (
        AdaptiveCardInvokeActivity as AdaptiveCardInvokeActivity,
        ConfigFetchInvokeActivity as ConfigFetchInvokeActivity,
        ConfigInvokeActivity as ConfigInvokeActivity,
        ConfigSubmitInvokeActivity as ConfigSubmitInvokeActivity,
        ExecuteActionInvokeActivity as ExecuteActionInvokeActivity,
        FileConsentInvokeActivity as FileConsentInvokeActivity,
        HandoffActionInvokeActivity as HandoffActionInvokeActivity,
        HandoffActionValue as HandoffActionValue,
        HtmlWidgetCallToolInvokeActivity as HtmlWidgetCallToolInvokeActivity,
        MessageExtensionAnonQueryLinkInvokeActivity as MessageExtensionAnonQueryLinkInvokeActivity,
        MessageExtensionCardButtonClickedInvokeActivity as MessageExtensionCardButtonClickedInvokeActivity,
        MessageExtensionFetchTaskInvokeActivity as MessageExtensionFetchTaskInvokeActivity,
        MessageExtensionInvokeActivity as MessageExtensionInvokeActivity,
        MessageExtensionQueryInvokeActivity as MessageExtensionQueryInvokeActivity,
        MessageExtensionQueryLinkInvokeActivity as MessageExtensionQueryLinkInvokeActivity,
        MessageExtensionQuerySettingUrlInvokeActivity as MessageExtensionQuerySettingUrlInvokeActivity,
        MessageExtensionSelectItemInvokeActivity as MessageExtensionSelectItemInvokeActivity,
        MessageExtensionSettingInvokeActivity as MessageExtensionSettingInvokeActivity,
        MessageExtensionSubmitActionInvokeActivity as MessageExtensionSubmitActionInvokeActivity,
        MessageFetchTaskActionValue as MessageFetchTaskActionValue,
        MessageFetchTaskData as MessageFetchTaskData,
        MessageFetchTaskInvokeActivity as MessageFetchTaskInvokeActivity,
        MessageFetchTaskInvokeValue as MessageFetchTaskInvokeValue,
        MessageInvokeActivity as MessageInvokeActivity,
        MessageSubmitActionInvokeActivity as MessageSubmitActionInvokeActivity,
        MessageSubmitActionInvokeValue as MessageSubmitActionInvokeValue,
        MessageSubmitActionValue as MessageSubmitActionValue,
        SearchInvokeActivity as SearchInvokeActivity,
        SignInFailureInvokeActivity as SignInFailureInvokeActivity,
        SignInInvokeActivity as SignInInvokeActivity,
        SignInTokenExchangeInvokeActivity as SignInTokenExchangeInvokeActivity,
        SignInVerifyStateInvokeActivity as SignInVerifyStateInvokeActivity,
        SuggestedActionSubmitInvokeActivity as SuggestedActionSubmitInvokeActivity,
        TabFetchInvokeActivity as TabFetchInvokeActivity,
        TabInvokeActivity as TabInvokeActivity,
        TabSubmitInvokeActivity as TabSubmitInvokeActivity,
        TaskFetchInvokeActivity as TaskFetchInvokeActivity,
        TaskInvokeActivity as TaskInvokeActivity,
        TaskSubmitInvokeActivity as TaskSubmitInvokeActivity,
    )
    from .models.json_web_token import (
        JsonWebToken as JsonWebToken,
        JsonWebTokenPayload as JsonWebTokenPayload,
        TokenProtocol as TokenProtocol,
    )
    from .models.meeting import (
        Meeting as Meeting,
        MeetingDetails as MeetingDetails,
        MeetingInfo as MeetingInfo,
        MeetingNotificationParams as MeetingNotificationParams,
        MeetingNotificationRecipientFailure as MeetingNotificationRecipientFailure,
        MeetingNotificationResponse as MeetingNotificationResponse,
        MeetingNotificationSurface as MeetingNotificationSurface,
        MeetingNotificationValue as MeetingNotificationValue,
        MeetingParticipant as MeetingParticipant,
    )
    from .models.message import (
        ActivityParams as ActivityParams,
        AttachmentLayout as AttachmentLayout,
        DeliveryMode as DeliveryMode,
        Importance as Importance,
        InputHint as InputHint,
        MessageActivity as MessageActivity,
        MessageActivityInput as MessageActivityInput,
        SentActivity as SentActivity,
        StripMentionsTextOptions as StripMentionsTextOptions,
        TextFormat as TextFormat,
        TypingActivity as TypingActivity,
        TypingActivityInput as TypingActivityInput,
    )
    from .models.message_extension import (
        MessagingExtensionAction as MessagingExtensionAction,
        MessagingExtensionActionInvokeResponse as MessagingExtensionActionInvokeResponse,
        MessagingExtensionActionResponse as MessagingExtensionActionResponse,
        MessagingExtensionAttachment as MessagingExtensionAttachment,
        MessagingExtensionAttachmentLayout as MessagingExtensionAttachmentLayout,
        MessagingExtensionInvokeResponse as MessagingExtensionInvokeResponse,
        MessagingExtensionParameter as MessagingExtensionParameter,
        MessagingExtensionQuery as MessagingExtensionQuery,
        MessagingExtensionQueryOptions as MessagingExtensionQueryOptions,
        MessagingExtensionResponse as MessagingExtensionResponse,
        MessagingExtensionResult as MessagingExtensionResult,
        MessagingExtensionResultType as MessagingExtensionResultType,
        MessagingExtensionSuggestedAction as MessagingExtensionSuggestedAction,
    )
    from .models.message_payload import (
        ApplicationIdentityType as ApplicationIdentityType,
        Message as Message,
        MessageApp as MessageApp,
        MessageBody as MessageBody,
        MessageConversation as MessageConversation,
        MessageFrom as MessageFrom,
        MessageMention as MessageMention,
        MessageReaction as MessageReaction,
        MessageUser as MessageUser,
        UserIdentityType as UserIdentityType,
    )
    from .models.o365 import (
        O365ConnectorCardActionQuery as O365ConnectorCardActionQuery,
    )
    from .models.search import (
        SearchInvokeOptions as SearchInvokeOptions,
        SearchInvokeResponse as SearchInvokeResponse,
        SearchInvokeResponseValue as SearchInvokeResponseValue,
        SearchInvokeResult as SearchInvokeResult,
        SearchInvokeType as SearchInvokeType,
        SearchInvokeValue as SearchInvokeValue,
        SearchResponse as SearchResponse,
    )
    from .models.sign_in import (
        SignInExchangeToken as SignInExchangeToken,
        SignInFailure as SignInFailure,
        SignInFailureCode as SignInFailureCode,
        SignInStateVerifyQuery as SignInStateVerifyQuery,
    )
    from .models.tab import (
        TabContext as TabContext,
        TabEntityContext as TabEntityContext,
        TabInvokeResponse as TabInvokeResponse,
        TabRequest as TabRequest,
        TabResponse as TabResponse,
        TabResponseCard as TabResponseCard,
        TabResponseCards as TabResponseCards,
        TabResponsePayload as TabResponsePayload,
        TabSubmit as TabSubmit,
        TabSubmitData as TabSubmitData,
        TabSuggestedActions as TabSuggestedActions,
    )
    from .models.task_module import (
        BaseTaskModuleTaskInfo as BaseTaskModuleTaskInfo,
        CardTaskModuleTaskInfo as CardTaskModuleTaskInfo,
        TaskModuleCardResponse as TaskModuleCardResponse,
        TaskModuleContinueResponse as TaskModuleContinueResponse,
        TaskModuleInvokeResponse as TaskModuleInvokeResponse,
        TaskModuleMessageResponse as TaskModuleMessageResponse,
        TaskModuleRequest as TaskModuleRequest,
        TaskModuleRequestContext as TaskModuleRequestContext,
        TaskModuleResponse as TaskModuleResponse,
        TaskModuleResponseBase as TaskModuleResponseBase,
        TaskModuleTaskInfo as TaskModuleTaskInfo,
        UrlTaskModuleTaskInfo as UrlTaskModuleTaskInfo,
    )
    from .models.team import (
        GetTeamConversationsResponse as GetTeamConversationsResponse,
        TeamDetails as TeamDetails,
    )
    from .models.token import (
        SignInUrlResponse as SignInUrlResponse,
        TokenExchangeInvokeRequest as TokenExchangeInvokeRequest,
        TokenExchangeInvokeResponse as TokenExchangeInvokeResponse,
        TokenExchangeInvokeResponseType as TokenExchangeInvokeResponseType,
        TokenExchangeRequest as TokenExchangeRequest,
        TokenExchangeResource as TokenExchangeResource,
        TokenExchangeState as TokenExchangeState,
        TokenPostResource as TokenPostResource,
        TokenRequest as TokenRequest,
        TokenResponse as TokenResponse,
        TokenStatus as TokenStatus,
    )
    from .telemetry import (
        TEAMS_API_METER_NAME as TEAMS_API_METER_NAME,
        TEAMS_API_TRACER_NAME as TEAMS_API_TRACER_NAME,
        TeamsApiTelemetry as TeamsApiTelemetry,
    )

_NAMES: Final = {
    ".clients.aiohttp_transport": "AiohttpTransport",
    ".clients.api_client": "ApiClient Token TokenSource encode_json",
    ".clients.bots": """
        BotClient BotSignInClient BotTokenClient GetBotSignInResourceParams GetBotSignInUrlParams
        GetBotTokenResponse
    """,
    ".clients.conversations": "ConversationClient MessageReactionType",
    ".clients.grouped": """
        ActivityOperations ConversationActivityClient ConversationMemberClient MemberOperations
        ReactionClient
    """,
    ".clients.meetings": "MeetingClient",
    ".clients.retry": "DEFAULT_RETRY NO_RETRY RetryPolicy RetryRule",
    ".clients.settings": "ApiClientSettings merge_api_client_settings",
    ".clients.teams": "TeamClient",
    ".clients.transport": "HandlerTransport Request Response Transport",
    ".clients.users": """
        ExchangeUserTokenParams GetUserAADTokenParams GetUserTokenParams GetUserTokenStatusParams
        SignOutUserParams UserClient UserTokenClient
    """,
    ".clouds": """
        CHINA CloudEnvironment PUBLIC US_GOV US_GOV_DOD config_from_cloud_name from_name with_overrides
    """,
    ".errors": """
        ApiError BadRequestError CadenzaError ConnectError ConnectionLostError ForbiddenError
        HttpStatusError InvalidActivityError InvalidResponseError MessageTooLargeError NotFoundError
        PreconditionFailedError RequestTimeoutError ServerError ThrottledError TransportError
        UnauthorizedError UntrustedHostError service_error status_error
    """,
    ".models.account": """
        Account AccountType CallerIds CallerType ChannelID ConversationAccount ConversationType
        TeamsChannelAccount
    """,
    ".models.activity": "Activity ActivityBase ActivityInput ActivityInputBase",
    ".models.adaptive_card": """
        AdaptiveCardActionCardResponse AdaptiveCardActionErrorResponse
        AdaptiveCardActionIncorrectAuthCodeResponse AdaptiveCardActionLoginResponse
        AdaptiveCardActionMessageResponse AdaptiveCardActionPreconditionFailedResponse
        AdaptiveCardActionResponse AdaptiveCardAuthentication AdaptiveCardInvokeAction
        AdaptiveCardInvokeResponse AdaptiveCardInvokeValue
    """,
    ".models.agent_lifecycle": """
        AgentLifecycleEventActivity AgentLifecycleEventActivityBase AgentLifecycleManager
        AgentLifecycleManagerRef AgentLifecycleUpdatedProperty AgentLifecycleValueBase
        AgenticUserDeletedActivity AgenticUserDeletedValue AgenticUserDisabledActivity
        AgenticUserDisabledValue AgenticUserEnabledActivity AgenticUserEnabledValue
        AgenticUserIdentityCreatedActivity AgenticUserIdentityCreatedValue
        AgenticUserIdentityUpdatedActivity AgenticUserIdentityUpdatedValue
        AgenticUserManagerUpdatedActivity AgenticUserManagerUpdatedValue AgenticUserUndeletedActivity
        AgenticUserUndeletedValue AgenticUserWorkloadOnboardingUpdatedActivity
        AgenticUserWorkloadOnboardingUpdatedValue
    """,
    ".models.agentic_identity": """
        AGENTIC_IDENTITY_CLEAR AgenticIdentity AgenticIdentityClear AgenticIdentityScope
    """,
    ".models.app_based_link_query": "AppBasedLinkQuery",
    ".models.attachment": """
        ADAPTIVE_CARD Attachment Card CardAction CardActionType CardAttachmentData CardLike
        SuggestedActions card_attachment card_content
    """,
    ".models.base": "CustomBaseModel WireModel",
    ".models.cache_info": "CacheInfo",
    ".models.card_attachments": """
        AdaptiveCardAttachment AnimationCardAttachment AudioCardAttachment CardAttachment
        CardAttachmentType CardAttachmentTypes HeroCardAttachment OAuthCardAttachment SigninCardAttachment
        ThumbnailCardAttachment VideoCardAttachment
    """,
    ".models.cards": """
        AnimationCard AudioCard BasicCard CardImage HeroCard MediaCard MediaUrl OAuthCard SignInCard
        ThumbnailCard ThumbnailUrl VideoCard
    """,
    ".models.channel_data": """
        AppInfo ChannelData ChannelDataSettings ChannelInfo FeedbackLoop MeetingReference NotificationInfo
        TeamInfo TenantInfo
    """,
    ".models.config": "ConfigAuth ConfigInvokeResponse ConfigResponse",
    ".models.conversation": """
        Conversation ConversationReference ConversationResource CreateConversationParams
        PagedMembersResult
    """,
    ".models.credentials": """
        AgenticAppTokenProviderProtocol AgenticUserTokenProviderProtocol BasicTokenProvider
        CertificateCredentials ClientCredentials Credentials FederatedIdentityCredentials
        ManagedIdentityCredentials TokenCredentials TokenProvider TokenProviderProtocol TokenResult TokenValue
    """,
    ".models.entity": """
        AIMessageEntity Appearance CitationAppearance CitationEntity CitationIconName CitationImage
        CitationUsageInfo Claim ClientInfoEntity Entity EntityBase Image MentionEntity MessageEntity
        ProductInfoEntity QuotedReplyData QuotedReplyEntity SensitiveUsage SensitiveUsageEntity
        SensitiveUsagePattern StreamInfoEntity TargetedMessageInfoEntity UnknownEntity
    """,
    ".models.error": "ErrorResponse HttpError InnerHttpError",
    ".models.events": """
        MeetingEndEventActivity MeetingEndEventValue MeetingEventParticipant
        MeetingParticipantEventActivity MeetingParticipantEventValue MeetingParticipantInfo
        MeetingParticipantJoinEventActivity MeetingParticipantLeaveEventActivity MeetingStartEventActivity
        MeetingStartEventValue ReadReceiptEventActivity
    """,
    ".models.file": """
        Action FILE_CONSENT_CARD_CONTENT_TYPE FILE_DOWNLOAD_INFO_CONTENT_TYPE FILE_INFO_CARD_CONTENT_TYPE
        FileConsentCard FileConsentCardResponse FileDownloadInfo FileInfoCard FileUploadInfo
    """,
    ".models.html_widget": """
        CallToolRequest HtmlWidgetCallToolResponse HtmlWidgetPayload HtmlWidgetPermissions
        HtmlWidgetSecurityPolicy McpUiAudioContent McpUiCallToolResult McpUiCallToolResultContent
        McpUiContentBlock McpUiImageContent McpUiResourceContent McpUiTextContent
        McpUiUpdateModelContextParams McpUiUpdateModelContextRequest
    """,
    ".models.inbound": """
        ActivityTypeAdapter CommandResultActivity CommandResultValue CommandSendActivity CommandSendValue
        ConversationActivity ConversationChannelData ConversationEventType ConversationUpdateActivity
        EndOfConversationActivity EventActivity HandoffActivity InstallUpdateActivity
        InstallationUpdateActivity InstalledActivity InstalledUpgradeActivity InvokeActivity
        MessageDeleteActivity MessageDeleteChannelData MessageEventType MessageReactionActivity
        MessageReactionActivityInput MessageUpdateActivity MessageUpdateChannelData TraceActivity
        UninstalledActivity UnknownActivity UnknownInvoke parse_activity
    """,
    ".models.invoke_response": "InvokeResponse InvokeResponseBody VoidInvokeResponse is_invoke_response",
    ".models.invokes": """
        AdaptiveCardInvokeActivity ConfigFetchInvokeActivity ConfigInvokeActivity
        ConfigSubmitInvokeActivity ExecuteActionInvokeActivity FileConsentInvokeActivity
        HandoffActionInvokeActivity HandoffActionValue HtmlWidgetCallToolInvokeActivity
        MessageExtensionAnonQueryLinkInvokeActivity MessageExtensionCardButtonClickedInvokeActivity
        MessageExtensionFetchTaskInvokeActivity MessageExtensionInvokeActivity
        MessageExtensionQueryInvokeActivity MessageExtensionQueryLinkInvokeActivity
        MessageExtensionQuerySettingUrlInvokeActivity MessageExtensionSelectItemInvokeActivity
        MessageExtensionSettingInvokeActivity MessageExtensionSubmitActionInvokeActivity
        MessageFetchTaskActionValue MessageFetchTaskData MessageFetchTaskInvokeActivity
        MessageFetchTaskInvokeValue MessageInvokeActivity MessageSubmitActionInvokeActivity
        MessageSubmitActionInvokeValue MessageSubmitActionValue SearchInvokeActivity
        SignInFailureInvokeActivity SignInInvokeActivity SignInTokenExchangeInvokeActivity
        SignInVerifyStateInvokeActivity SuggestedActionSubmitInvokeActivity TabFetchInvokeActivity
        TabInvokeActivity TabSubmitInvokeActivity TaskFetchInvokeActivity TaskInvokeActivity
        TaskSubmitInvokeActivity
    """,
    ".models.json_web_token": "JsonWebToken JsonWebTokenPayload TokenProtocol",
    ".models.meeting": """
        Meeting MeetingDetails MeetingInfo MeetingNotificationParams MeetingNotificationRecipientFailure
        MeetingNotificationResponse MeetingNotificationSurface MeetingNotificationValue MeetingParticipant
    """,
    ".models.message": """
        ActivityParams AttachmentLayout DeliveryMode Importance InputHint MessageActivity
        MessageActivityInput SentActivity StripMentionsTextOptions TextFormat TypingActivity
        TypingActivityInput
    """,
    ".models.message_extension": """
        MessagingExtensionAction MessagingExtensionActionInvokeResponse MessagingExtensionActionResponse
        MessagingExtensionAttachment MessagingExtensionAttachmentLayout MessagingExtensionInvokeResponse
        MessagingExtensionParameter MessagingExtensionQuery MessagingExtensionQueryOptions
        MessagingExtensionResponse MessagingExtensionResult MessagingExtensionResultType
        MessagingExtensionSuggestedAction
    """,
    ".models.message_payload": """
        ApplicationIdentityType Message MessageApp MessageBody MessageConversation MessageFrom
        MessageMention MessageReaction MessageUser UserIdentityType
    """,
    ".models.o365": "O365ConnectorCardActionQuery",
    ".models.search": """
        SearchInvokeOptions SearchInvokeResponse SearchInvokeResponseValue SearchInvokeResult
        SearchInvokeType SearchInvokeValue SearchResponse
    """,
    ".models.sign_in": "SignInExchangeToken SignInFailure SignInFailureCode SignInStateVerifyQuery",
    ".models.tab": """
        TabContext TabEntityContext TabInvokeResponse TabRequest TabResponse TabResponseCard
        TabResponseCards TabResponsePayload TabSubmit TabSubmitData TabSuggestedActions
    """,
    ".models.task_module": """
        BaseTaskModuleTaskInfo CardTaskModuleTaskInfo TaskModuleCardResponse TaskModuleContinueResponse
        TaskModuleInvokeResponse TaskModuleMessageResponse TaskModuleRequest TaskModuleRequestContext
        TaskModuleResponse TaskModuleResponseBase TaskModuleTaskInfo UrlTaskModuleTaskInfo
    """,
    ".models.team": "GetTeamConversationsResponse TeamDetails",
    ".models.token": """
        SignInUrlResponse TokenExchangeInvokeRequest TokenExchangeInvokeResponse
        TokenExchangeInvokeResponseType TokenExchangeRequest TokenExchangeResource TokenExchangeState
        TokenPostResource TokenRequest TokenResponse TokenStatus
    """,
    ".telemetry": "TEAMS_API_METER_NAME TEAMS_API_TRACER_NAME TeamsApiTelemetry",
}
"""By module, the names that it gives."""

_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES]  # noqa: PLE0604 - the linter cannot see that they are strings


if not TYPE_CHECKING:  # for a type checker, a module that has this function has any name

    def __getattr__(name: str) -> Any:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(module, __name__), name)
        globals()[name] = value  # from now on without this function
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
