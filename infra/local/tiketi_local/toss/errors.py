"""What the vendor answers when it does not do as asked: every documented code with its HTTP status."""

from __future__ import annotations

from http import HTTPStatus

_CODES_OF: dict[int, str] = {
    400: """
        ALREADY_PROCESSED_PAYMENT PROVIDER_ERROR CARD_PROCESSING_ERROR INVALID_REQUEST INVALID_API_KEY
        INVALID_REJECT_CARD INVALID_CARD_NUMBER INVALID_CARD_EXPIRATION INVALID_STOPPED_CARD
        INVALID_CARD_LOST_OR_STOLEN INVALID_CARD_INSTALLMENT_PLAN EXCEED_MAX_CARD_INSTALLMENT_PLAN
        NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN
        NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN_BELOW_AMOUNT NOT_ALLOWED_POINT_USE BELOW_MINIMUM_AMOUNT
        EXCEED_MAX_DAILY_PAYMENT_COUNT EXCEED_MAX_PAYMENT_AMOUNT EXCEED_MAX_AMOUNT
        EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT
        NOT_FOUND_TERMINAL_ID INVALID_AUTHORIZE_AUTH RESTRICTED_TRANSFER_ACCOUNT INVALID_UNREGISTERED_SUBMALL
        NOT_REGISTERED_BUSINESS INVALID_ACCOUNT_INFO_RE_REGISTER NOT_AVAILABLE_PAYMENT UNAPPROVED_ORDER_ID
        DUPLICATED_ORDER_ID INVALID_IDEMPOTENCY_KEY ALREADY_CANCELED_PAYMENT NOT_MATCHES_REFUNDABLE_AMOUNT
        INVALID_REFUND_ACCOUNT_INFO INVALID_REFUND_ACCOUNT_NUMBER INVALID_BANK
        EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT REFUND_REJECTED ALREADY_REFUND_PAYMENT FORBIDDEN_BANK_REFUND_REQUEST
    """,
    401: "UNAUTHORIZED_KEY",
    403: """
        REJECT_CARD_PAYMENT REJECT_CARD_COMPANY REJECT_ACCOUNT_PAYMENT REJECT_TOSSPAY_INVALID_ACCOUNT
        FORBIDDEN_REQUEST EXCEED_MAX_AUTH_COUNT EXCEED_MAX_ONE_DAY_AMOUNT NOT_AVAILABLE_BANK INVALID_PASSWORD
        INCORRECT_BASIC_AUTH_FORMAT FDS_ERROR FORBIDDEN_CONSECUTIVE_REQUEST NOT_CANCELABLE_AMOUNT
        NOT_CANCELABLE_PAYMENT EXCEED_MAX_REFUND_DUE EXCEED_CANCEL_LIMIT NOT_ALLOWED_PARTIAL_REFUND
        NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER
    """,
    404: "NOT_FOUND_PAYMENT NOT_FOUND_PAYMENT_SESSION NOT_FOUND",
    409: "IDEMPOTENT_REQUEST_PROCESSING",
    429: "TOO_MANY_REQUESTS",  # our choice: the documents name the status only
    500: """
        FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING FAILED_INTERNAL_SYSTEM_PROCESSING UNKNOWN_PAYMENT_ERROR
        COMMON_ERROR FAILED_REFUND_PROCESS FAILED_METHOD_HANDLING_CANCEL FAILED_PARTIAL_REFUND
    """,
}
STATUS_OF = {code: status for status, codes in _CODES_OF.items() for code in codes.split()}
"""HTTP status by code."""

_MESSAGES: dict[str, tuple[str, str]] = {
    "ALREADY_PROCESSED_PAYMENT": ("이미 처리된 결제 입니다.", "This is a payment that has already been processed."),
    "ALREADY_CANCELED_PAYMENT": ("이미 취소된 결제 입니다.", "This payment has already been cancelled."),
    "IDEMPOTENT_REQUEST_PROCESSING": ("이전 멱등 요청이 처리중입니다.", "The first request is still under way."),
    "INVALID_IDEMPOTENCY_KEY": ("멱등키는 300자 이하여야 합니다.", "The key may have 300 characters at most."),
    "INVALID_REQUEST": ("잘못된 요청입니다.", "The request is not valid."),
    "NOT_CANCELABLE_AMOUNT": ("취소 할 수 없는 금액 입니다.", "This amount cannot be cancelled."),
    "NOT_FOUND_PAYMENT": ("존재하지 않는 결제 정보 입니다.", "There is no such payment."),
    "NOT_FOUND_PAYMENT_SESSION": (
        "결제 시간이 만료되어 결제 진행 데이터가 존재하지 않습니다.",
        "The time to pay is over; nothing is left of the payment under way.",
    ),
    "NOT_MATCHES_REFUNDABLE_AMOUNT": ("잔액 결과가 일치하지 않습니다.", "The balance is another one."),
    "PROVIDER_ERROR": ("일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요.", "A passing error. Try again."),
    "REJECT_CARD_PAYMENT": (
        "한도초과 혹은 잔액부족으로 결제에 실패했습니다.",
        "The card's limit or balance does not suffice.",
    ),
    "UNAUTHORIZED_KEY": (
        "인증되지 않은 시크릿 키 혹은 클라이언트 키 입니다.",
        "The secret or client key is not known.",
    ),
}


class TossError(Exception):
    """An answer with a documented code. Raises KeyError for a code that is not."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.status = STATUS_OF[code]

    def document(self, *, english: bool = False) -> dict[str, str]:
        """The body: code and message. A message whose text is not known to us is the status's phrase."""
        phrase = HTTPStatus(self.status).phrase
        korean, translated = _MESSAGES.get(self.code, (phrase, phrase))
        return {"code": self.code, "message": translated if english else korean}
